"""`make proto`: generates shared/twohop/wire from shared/proto. 1.76.0's code runs on protobuf 6.31.1 to 7.x."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.development.tool_venv import tool_venv

ROOT = Path(__file__).resolve().parents[2]
GRPC_TOOLS = "grpcio-tools==1.76.0"


def main() -> None:
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "shared" / "proto").rglob("*.proto"))
    with tool_venv(GRPC_TOOLS) as binaries:
        flags = ["-I", "shared/proto", "--python_out=shared", "--pyi_out=shared"]
        subprocess.run([binaries / "python", "-m", "grpc_tools.protoc", *flags, *sources], cwd=ROOT, check=True)
    print(f"generated from {', '.join(sources)}")


if __name__ == "__main__":
    main()
