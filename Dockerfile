# The sidecar's image: one static binary and nothing else.
#
#   docker build -t tidegate-queue-proxy .
#
# The binary is linked against musl, statically: its resolver needs no libraries, and its allocator
# gives memory back after a burst of connections, which glibc's does not. A request allocates next to
# nothing, so the allocator's speed does not show (docs/benchmarks/queue-proxy.md).
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends musl-tools \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN target="$(uname -m)-unknown-linux-musl" \
 && rustup target add "$target" \
 && cargo build --locked --profile slim --package tidegate-queue-proxy --bin queue-proxy --target "$target" \
 && install -D "target/$target/slim/queue-proxy" /image/queue-proxy

FROM scratch
COPY --from=build /image/queue-proxy /queue-proxy
# Any user will do: nothing is written, no capability is needed.
USER 65532:65532
ENTRYPOINT ["/queue-proxy"]
