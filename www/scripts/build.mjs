// Bundles the page into dist/: index.html, and script, style and icon under names that change with
// their content, so that browsers may keep them for ever.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { minify } from "terser";

const root = new URL("..", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
const small = process.env.TIDEKEEP_FLAVOUR !== "debug";

/** The letters as often as they come in what is written, so that names look like what stands around them. */
const LETTERS = "etsinraolhdcufpmwyvgbkxjqz";
/** Names of two letters and more. */
const longNames = {
  get(number) {
    let name = "";
    for (; number > 0 || name.length < 2; number = Math.floor(number / LETTERS.length)) name += LETTERS[number % LETTERS.length];
    return name;
  },
};

/** A script after a second look: that takes another twentieth of what a browser is sent. */
async function smaller(script) {
  const once = { hoist_funs: true, inline: 1, lhs_constants: false, sequences: 10 };
  // Unsafe is what joins texts by a plus: it would differ for an object that is a number, and none is shown.
  const compress = { passes: 3, unsafe: true, unsafe_arrows: true, pure_getters: true, ...once };
  const long = await minify(Buffer.from(script).toString(), { module: true, ecma: 2022, compress, mangle: { nth_identifier: longNames } });
  // Short names are for what a function has of its own: so they are the same in all, which packs better.
  const { code } = await minify(long.code, { module: true, ecma: 2022, compress: false, mangle: { module: false, toplevel: false } });
  return Buffer.from(code);
}

const { outputFiles } = await build({
  entryPoints: [path("src/app.ts"), path("style.css")],
  outdir: path("dist"),
  bundle: true,
  write: false,
  minify: small,
  format: "esm",
  target: "es2022",
  loader: { ".wasm": "file" },
  assetNames: "[name]-[hash]",
  publicPath: "/",
  legalComments: "none",
  logLevel: "warning",
});
const assets = new Map(outputFiles.map((file) => [file.path.split("/").at(-1), file.contents]));
if (small) assets.set("app.js", await smaller(assets.get("app.js")));
assets.set("icon.svg", readFileSync(path("icon.svg")));

rmSync(path("dist"), { recursive: true, force: true });
mkdirSync(path("dist"));
let html = readFileSync(path("index.html"), "utf8");
for (const [name, contents] of assets) {
  if (name.endsWith(".wasm")) {
    // Named by its content already; asked for before the script that compiles it has come.
    html = html.replace("</title>", `</title>\n    <link rel="preload" href="/${name}" as="fetch" type="application/wasm" crossorigin>`);
    writeFileSync(path(`dist/${name}`), contents);
    continue;
  }
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 10);
  const [stem, extension] = name.split(".");
  const hashed = `${stem}-${hash}.${extension}`;
  if (!html.includes(`"${name}"`)) throw new Error(`index.html does not mention ${name}`);
  html = html.replaceAll(`"${name}"`, `"/${hashed}"`);
  writeFileSync(path(`dist/${hashed}`), contents);
}
writeFileSync(path("dist/index.html"), small ? html.replace(/\n\s+/g, "\n") : html);
