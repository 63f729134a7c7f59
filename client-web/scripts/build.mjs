// Bundles the package: wasm/ (written by `cargo xtask web`) and ts/ become dist/.
//
//   dist/index.js       everything in one file, the module as base64 text
//   dist/slim.js        without the module;  dist/tidekeep.wasm  the module by itself
//   dist/*.d.ts         the types, as they were written by hand

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const root = new URL("..", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
const minify = process.env.TIDEKEEP_FLAVOUR !== "debug";

/** The glue as a function, so that every client has glue and an instance of its own. */
const glueFactory = {
  name: "glue-factory",
  setup(builder) {
    builder.onResolve({ filter: /^tidekeep-glue$/ }, () => ({ path: path("wasm/tidekeep.js") }));
    builder.onLoad({ filter: /wasm\/tidekeep\.js$/ }, async ({ path }) => {
      const { outputFiles } = await build({
        entryPoints: [path],
        bundle: true,
        write: false,
        format: "iife",
        globalName: "glue",
        target: "es2022",
      });
      const contents = `export default function () { ${outputFiles[0].text}; return glue; }`;
      return { contents, loader: "js" };
    });
  },
};

/** The module's bytes as base64 text. */
const inlinedModule = {
  name: "inlined-module",
  setup(builder) {
    const file = path("wasm/tidekeep_bg.wasm");
    builder.onResolve({ filter: /^tidekeep-module$/ }, () => ({ path: file }));
    builder.onLoad({ filter: /tidekeep_bg\.wasm$/ }, ({ path }) => ({
      contents: readFileSync(path).toString("base64"),
      loader: "text",
    }));
  },
};

rmSync(path("dist"), { recursive: true, force: true });
mkdirSync(path("dist"));
await build({
  entryPoints: [path("ts/index.ts"), path("ts/slim.ts")],
  outdir: path("dist"),
  bundle: true,
  minify,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  legalComments: "none",
  logLevel: "warning",
  plugins: [glueFactory, inlinedModule],
});
copyFileSync(path("wasm/tidekeep_bg.wasm"), path("dist/tidekeep.wasm"));

// Only what the entries' types name: everything else stays inside.
const types = path("scripts/tsconfig.types.json");
const tsc = path("node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--project", types], { stdio: "inherit" });
const open = new Set(["index.d.ts", "slim.d.ts", "types.d.ts", "errors.d.ts"]);
for (const file of readdirSync(path("dist"))) {
  if (file.endsWith(".d.ts") && !open.has(file)) rmSync(path(`dist/${file}`));
}
writeFileSync(
  path("dist/tidekeep.wasm.d.ts"),
  "// Bundlers give the file's address.\ndeclare const url: string;\nexport default url;\n",
);
for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(path(`../${name}`), path(`dist/${name}`));
