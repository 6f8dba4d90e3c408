const slices = "^src/(?:users|events|auth|access|profiles|api-keys|audit)/";

/** The layers: who may import whom (docs/adding-an-rpc.md). */
export default {
  forbidden: [
    {
      name: "no-circular",
      comment: "A circle of modules has no order in which it can be understood.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "platform-knows-no-slice",
      comment: "platform is what every slice shares; it would otherwise be a slice of its own.",
      severity: "error",
      from: { path: "^src/platform/" },
      to: { path: "^src/(?!platform/)" },
    },
    {
      name: "server-knows-no-slice",
      comment: "The host serves whatever routes it is given.",
      severity: "error",
      from: { path: "^src/server/" },
      to: { path: slices },
    },
    {
      name: "lane-knows-nothing-else",
      comment: "The lane serves any service; it could be published on its own.",
      severity: "error",
      from: { path: "^src/lane/" },
      to: { path: "^(?:src/(?!lane/)|gen/)" },
    },
    {
      name: "writes-know-no-slice",
      comment: "What is kept with a write is the same for every slice's.",
      severity: "error",
      from: { path: "^src/writes/" },
      to: { path: [slices, "^src/(?:server|cli)/"] },
    },
    {
      name: "slices-know-no-lane",
      comment: "A slice may say that its messages go to many, and ask whether its caller has left; no more.",
      severity: "error",
      from: { path: [slices, "^src/writes/"] },
      to: { path: "^src/lane/", pathNot: "^src/lane/(?:bursts|caller|encode-once)\\.ts$" },
    },
    {
      name: "slices-know-no-host",
      comment: "A slice must work behind any transport.",
      severity: "error",
      from: { path: slices },
      to: { path: "^src/(?:server|cli)/" },
    },
    {
      name: "repository-is-private",
      comment: "A slice imports another slice's service, never its repository.",
      severity: "error",
      from: { path: "^src/(users|events|auth|access|profiles|api-keys|audit|writes)/" },
      to: { path: "\\.repository\\.ts$", pathNot: "^src/$1/" },
    },
    {
      name: "domain-does-no-io",
      comment: "A slice's domain decides; others read and write.",
      severity: "error",
      from: {
        path: "^src/[^/]+/(?:user|account|event|cursor|page-token|role|profile|preferences|activity|password|login-rules|api-key|api-key-text|api-key-page-token)(?:\\.errors)?\\.ts$",
      },
      to: { path: "(?:repository|service|handler)\\.ts$|^node_modules/(?:kysely|pg|fastify)/" },
    },
    {
      name: "only-app-constructs",
      comment: "Wiring is read in one place.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(?:app\\.ts|cli/|compose/)" },
      to: { path: "^src/(?:(?:app|routes)\\.ts$|compose/)" },
    },
    {
      name: "no-test-code-in-the-program",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^test/" },
    },
    {
      name: "declared-dependencies-only",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    parser: "swc",
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
