#!/usr/bin/env bash
# Generates protos/gen from protos/lienthong. Usage: protos/generate.sh PYTHON [OUT]
set -euo pipefail
cd "$(dirname "$0")"
python=$1 out=${2:-gen}
rm -rf "$out/lienthong" && mkdir -p "$out"
bin=$(dirname "$python")
PATH="$bin:$PATH" "$python" -m grpc_tools.protoc -I . -I "$("$python" -c 'import grpc_tools, pathlib; print(pathlib.Path(grpc_tools.__file__).parent / "_proto")')" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" \
  $(find lienthong -name '*.proto' | sort)
# Every package directory but the namespace itself is a regular package.
find "$out/lienthong" -mindepth 1 -type d -exec touch {}/__init__.py \;
