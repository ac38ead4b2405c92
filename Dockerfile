# One image for every subcommand: `docker build -t weir .`, then `docker run --rm weir --help`.
FROM node:24-bookworm-slim AS build
WORKDIR /weir
COPY package.json package-lock.json .npmrc tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
COPY bin ./bin
# The same command as on a laptop: its `prepare` step bundles src/ and all dependencies into dist/.
RUN npm ci

# Node 24 again: bin/weir.js looks for another Node in node_modules when it meets an older one, and there is none here.
FROM node:24-bookworm-slim
# iptables for `weir proxy-init`; git for `weir gitops` and `weir demo`; everything else needs Node alone.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends git ca-certificates iptables \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /weir
ENV NODE_ENV=production
# No node_modules and no npm step: what the product depends on is in dist/.
COPY --from=build /weir/package.json ./package.json
COPY --from=build /weir/bin ./bin
COPY --from=build /weir/dist ./dist
COPY LICENSE ./LICENSE
COPY crds ./crds
COPY examples ./examples
# A number, so that Kubernetes can verify runAsNonRoot; the same that the manifests and the injector ask for.
USER 65532:65532
ENTRYPOINT ["node", "/weir/bin/weir.js"]
CMD ["--help"]
