# Tidegate's images: one static binary each, and nothing else. The last one is the default.
#
#   docker build -t queue-proxy .
#   docker build -t tidegate --target tidegate .
#   docker build -t activator --target activator .
#   docker build -t tidegate-kubernetes --target tidegate-kubernetes .
#
# Without a container engine: `cargo xtask images`, which replaces the stages `build-NAME` by folders
# with programs that cargo has built.
#
# The binaries are linked against musl, statically: its resolver needs no libraries, and its allocator
# gives memory back after a burst of connections, which glibc's does not. A request allocates next to
# nothing, so the allocator's speed does not show (docs/benchmarks/queue-proxy.md).
FROM rust:1.95-bookworm AS source
RUN apt-get update \
 && apt-get install --yes --no-install-recommends musl-tools \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN target="$(uname -m)-unknown-linux-musl" \
 && rustup target add "$target" \
 && printf '[build]\ntarget = "%s"\n' "$target" > "$CARGO_HOME/config.toml"

FROM source AS build-tidegate
RUN cargo build --locked --profile slim --package tidegate --bin tidegate \
 && install -D target/*/slim/tidegate /image/tidegate

FROM source AS build-activator
RUN cargo build --locked --profile slim --package tidegate-activator-program --bin activator \
 && install -D target/*/slim/activator /image/activator

FROM source AS build-tidegate-kubernetes
RUN cargo build --locked --profile slim --package tidegate-kubernetes --bin tidegate-kubernetes \
 && install -D target/*/slim/tidegate-kubernetes /image/tidegate-kubernetes

FROM source AS build-queue-proxy
RUN cargo build --locked --profile slim --package tidegate-queue-proxy --bin queue-proxy \
 && install -D target/*/slim/queue-proxy /image/queue-proxy

# Everything that people type, and a sample app.
FROM scratch AS tidegate
COPY --from=build-tidegate /image/tidegate /tidegate
USER 65532:65532
ENTRYPOINT ["/tidegate"]

# The activator.
FROM scratch AS activator
COPY --from=build-activator /image/activator /activator
USER 65532:65532
ENTRYPOINT ["/activator"]

# The controller of a cluster.
FROM scratch AS tidegate-kubernetes
COPY --from=build-tidegate-kubernetes /image/tidegate-kubernetes /tidegate-kubernetes
USER 65532:65532
ENTRYPOINT ["/tidegate-kubernetes"]

# The sidecar.
FROM scratch AS queue-proxy
COPY --from=build-queue-proxy /image/queue-proxy /queue-proxy
# Any user will do: nothing is written, no capability is needed.
USER 65532:65532
ENTRYPOINT ["/queue-proxy"]
