// The package as users get it: packed, and installed from its tarball into an empty project.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Nothing of what is run here takes so long. */
const LIMIT_MS = 60_000;

/** What every runtime is asked for: a write, a read and a watch; `say` is told "yes". */
export function roundTrip(url: string, say: string, name: string): string {
  return `
    const client = connect(${url});
    await client.put("smoke/${name}", "yes");
    const entry = await client.get("smoke/${name}");
    for await (const event of client.watch({ key: "smoke/${name}" }, { content: true })) {
      if (event.type !== "entry" || event.entry.revision !== entry.revision) continue;
      ${say}(event.entry.text());
      break;
    }
    await client.close();`;
}

/** A project that has the package and nothing else. */
export class Project {
  private constructor(
    readonly folder: string,
    readonly tarball: string,
    /** The paths in the tarball. */
    readonly files: string[],
  ) {}

  static install(): Project {
    const folder = mkdtempSync(join(tmpdir(), "tidekeep-installed-"));
    const [{ filename, files }] = JSON.parse(
      run("npm", ["pack", "--json", "--pack-destination", folder], "."),
    );
    const names = files.map(({ path }: { path: string }) => path);
    const project = new Project(folder, join(folder, filename), names);
    project.write("package.json", JSON.stringify({ type: "module", private: true }));
    project.run("npm", [
      ...["install", "--offline", "--no-audit", "--no-fund", "--legacy-peer-deps"],
      `./${filename}`,
    ]);
    return project;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  /** Makes one of this repository's packages the project's, too. */
  link(name: string): void {
    symlinkSync(resolve("node_modules", name), this.path(`node_modules/${name}`));
  }

  /** Runs a program in the project; what it wrote. */
  run(program: string, args: string[], env: NodeJS.ProcessEnv = {}): string {
    return run(program, args, this.folder, env);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function run(
  program: string,
  args: string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): string {
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIMIT_MS,
    env: { ...process.env, ...env },
  });
}
