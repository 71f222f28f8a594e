"""The embedded model server: TF-Serving's flags, interfaces, texts and model folder, for machines without its binary.

    cli, flags, settings, binary      what was asked for, and by which program it is done
    server                            wires the rest, opens and closes ports
    fronts/                           gRPC and REST; know the protocols
    requests/                         what a request means, whatever it came by
    lifecycle/                        which versions are loaded, and when
    session                           TensorFlow; nothing else imports it
"""
