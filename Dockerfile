# The sidecar's image: one static binary and nothing else.
#
#   docker build -t tidegate-queue-proxy .
#
# The binary is linked against glibc, statically. Since glibc 2.34 the hosts file and DNS are part of
# libc itself, so names resolve in an image without libraries. A musl target works as well
# (--target x86_64-unknown-linux-musl, with musl-tools installed); its allocator is slower under load.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
# Naming the target keeps the flags away from build scripts and procedural macros.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && cargo build --locked --profile slim --package tidegate-queue-proxy --bin queue-proxy --target "$target" \
 && install -D "target/$target/slim/queue-proxy" /image/queue-proxy

FROM scratch
COPY --from=build /image/queue-proxy /queue-proxy
# Any user will do: nothing is written, no capability is needed.
USER 65532:65532
ENTRYPOINT ["/queue-proxy"]
