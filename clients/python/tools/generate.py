"""Makes src/user_bridge/gen: messages, gRPC stubs and their types.

Two things differ from what protoc makes of the files as they are. The validation rules are left out: the bridge
applies them, and their own generated module would clash with that of a program that uses them. And the files are
given the path that the modules have in this package, so that their imports of each other are right as generated.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

client = Path(__file__).resolve().parent.parent
repository = client.parent.parent
source = client / "src"
package = "user_bridge/gen"
protos = [
    "access/v1/access.proto",
    "apikeys/v1/apikeys.proto",
    "audit/v1/audit.proto",
    "auth/auth.proto",
    "user/user.proto",
    "users/v1/users.proto",
]
rules = "buf/validate/validate.proto"


def main() -> None:
    """Replaces the folder."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.binpb"
        protoc(
            f"-I{repository / 'proto'}",
            f"-I{repository / 'third_party/proto'}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={full}",
            *protos,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(full.read_bytes())
        ours = Path(folder) / "ours.binpb"
        ours.write_bytes(adapt(files).SerializeToString())
        shutil.rmtree(source / package, ignore_errors=True)
        protoc(
            f"--descriptor_set_in={ours}",
            f"--python_out={source}",
            f"--grpc_python_out={source}",
            f"--mypy_out=quiet:{source}",
            f"--mypy_grpc_out=quiet,only_async:{source}",
            *(f"{package}/{name}" for name in protos),
        )
    # Without these, type checkers and packagers differ over what a folder is.
    for folder_path in sorted({source / package, *(p.parent for p in (source / package).rglob("*.py"))}):
        make_package(folder_path)


def protoc(*arguments: str) -> None:
    """Runs the protoc of grpcio-tools, with the plugins of the same environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, env={**os.environ, "PATH": path}
    )


def adapt(files: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    """Leaves the rules out and moves our files to their place in the package."""
    adapted = descriptor_pb2.FileDescriptorSet()
    for file in files.file:
        if file.name == rules:
            continue
        # This process has not loaded the rules' types, so that every use of one is an unknown field.
        file.DiscardUnknownFields()
        names = [name for name in file.dependency if name != rules]
        file.ClearField("dependency")
        file.dependency.extend(moved(name) for name in names)
        file.name = moved(file.name)
        adapted.file.append(file)
    return adapted


def moved(name: str) -> str:
    """Where a file is in the package; Google's own stay where they are."""
    return f"{package}/{name}" if name in protos else name


def make_package(folder: Path) -> None:
    """Marks the folder and those above it, up to the generated one, as packages."""
    while folder != source / "user_bridge":
        (folder / "__init__.py").touch()
        folder = folder.parent


if __name__ == "__main__":
    main()
