# One image for every subcommand: `docker build -t weir .`, then `docker run weir --help`.
FROM node:24-bookworm-slim AS build
WORKDIR /weir
COPY package.json package-lock.json .npmrc tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
COPY bin ./bin
# The same commands as on a laptop; `prepare` runs the build.
RUN npm ci && npm run build

FROM node:24-bookworm-slim
# Everything is bundled into dist/: no node_modules, no npm at run time.
WORKDIR /weir
ENV NODE_ENV=production
COPY --from=build /weir/package.json ./package.json
COPY --from=build /weir/bin ./bin
COPY --from=build /weir/dist ./dist
COPY crds ./crds
COPY examples ./examples
# A number, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
ENTRYPOINT ["node", "/weir/bin/weir.js"]
CMD ["--help"]
