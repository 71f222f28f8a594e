// Texts in, vectors out, from the embedding service: a client made from embedding.proto alone.
//
//   npm install && node embed.js 127.0.0.1:50051 path/to/embedding.proto "a text" "another text"
//
// Prints one JSON line per text. An error of the service ends it with status 1, its class on stderr.
'use strict'

const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

const [address, proto, ...texts] = process.argv.slice(2)
const definition = protoLoader.loadSync(proto, { keepCase: true, longs: Number, enums: String, defaults: true })
const { EmbeddingService } = grpc.loadPackageDefinition(definition).twohop.embedding.v1
const client = new EmbeddingService(address, grpc.credentials.createInsecure())

client.Embed({ texts }, { deadline: Date.now() + 10_000 }, (error, reply) => {
  client.close()
  if (error) {
    console.error(`${error.metadata.get('twohop-error')[0] || grpc.status[error.code]}: ${error.details}`)
    process.exitCode = 1
    return
  }
  // Little-endian float32, C order, [sum(rows), dimension]; a pooled encoder gives one row per text.
  const bytes = reply.vectors
  const numbers = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index))
  let row = 0
  texts.forEach((text, index) => {
    const vectors = Array.from({ length: reply.rows[index] }, () => numbers.slice(row * reply.dimension, ++row * reply.dimension))
    console.log(JSON.stringify({ text, fingerprint: reply.fingerprint, tokens: reply.tokens[index], vectors }))
  })
})
