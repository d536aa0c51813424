"""The bundled node's commands: bytes in, bytes out, without a socket."""
