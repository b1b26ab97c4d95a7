# The service for linux/amd64 and linux/arm64: production dependencies, app/ and millrace.config.*, without types. Why these bases, and what
# it weighs: docs/decisions/0010-image.md.
#
#   docker build -t millrace .
#   docker run -p 127.0.0.1:3000:3000 -v millrace:/app/data -e API_KEYS=me:a-key-of-16-letters millrace
#
# Both bases by the digest of their index, which holds both architectures.
ARG BUILD_IMAGE=docker.io/library/node:24.21.0-trixie-slim@sha256:173f125896c3b47ddf056734c7ea789d04595a6a08769a8f78e0df642781fb66
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot@sha256:9eeb7f5887d0e239e78264b06f7f11d2e14be534050481803a9e4728fcdd278e

# On the machine that builds, whatever it builds for: no machine code is made, and the tree is the same for both architectures.
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The optional dependency is Node itself. A registry of one's own: docker build --secret id=npmrc,src=$HOME/.npmrc
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
# Half of it is for editors and debuggers, or for other operating systems.
RUN find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -exec rm {} + \
 && find node_modules/fs-native-extensions/prebuilds -mindepth 1 -maxdepth 1 ! -name 'linux-*' -exec rm -r {} + \
 && mkdir data
COPY scripts/build.ts scripts/
COPY app app
# Handlers, sinks and routes. What it imports from beside it has to be copied too, and to be let in by .dockerignore.
COPY LICENSE upgrade-notes.json millrace.config.* ./
RUN node scripts/build.ts && rm build/.made-of

FROM ${RUNTIME_IMAGE}
# Owned by root, so that the service cannot change its own code; the numbers are those of the EFS directory in infra/.
COPY --from=build /app/node_modules /app/node_modules
COPY LICENSE /app/
COPY --from=build /app/build /app
COPY --from=build --chown=1000:1000 /app/data /app/data
WORKDIR /app
USER 1000:1000
# HOST: the loopback of a container is nobody else's, so the service listens to all, and refuses to start without API keys.
ENV PATH=/nodejs/bin:$PATH \
    NODE_ENV=production \
    MALLOC_ARENA_MAX=1 \
    HOST=0.0.0.0 \
    DATA_DIR=./data
EXPOSE 3000
VOLUME /app/data
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=30s CMD ["node", "-e", "fetch('http://127.0.0.1:'+(process.env.ADMIN_PORT||process.env.MILLRACE_ADMIN_PORT||9464)+'/health/live').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))"]
ENTRYPOINT ["node", "app/cli.js"]
CMD ["serve"]
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Millrace" \
      org.opencontainers.image.description="Deployable event pipeline: HTTP in, bounded channel, durable group commit, at-least-once delivery" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
