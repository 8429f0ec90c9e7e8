/** Code blocks of Markdown files: found, compiled, and run as they stand, each where it can do no harm. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createNamespace } from '../../dist/index.js'
import { packageFolder } from './program.js'

export interface Snippet {
  /** Where it stands: 'README.md line 12'. */
  place: string
  language: 'js' | 'ts'
  code: string
  /** The block marked as text that follows it at once: what it prints. '…' stands for what differs. */
  output: string | undefined
}

/** The blocks of a Markdown file (relative to the package's folder) that are marked as js or ts. */
export function snippetsOf(file: string): Snippet[] {
  const lines = readFileSync(join(packageFolder, file), 'utf8').split('\n')
  const found: Snippet[] = []
  for (let i = 0; i < lines.length; i++) {
    const language = /^```(\w+)$/.exec(lines[i] ?? '')?.[1]
    if (language === undefined) continue
    const end = lines.indexOf('```', i + 1)
    if (end < 0) throw new Error(`${file} line ${i + 1}: the block is not closed`)
    const code = lines.slice(i + 1, end).join('\n')
    const last = found.at(-1)
    if (language === 'js' || language === 'ts') {
      found.push({ place: `${file} line ${i + 1}`, language, code, output: undefined })
    } else if (
      language === 'text' &&
      last !== undefined &&
      lines.slice(0, i).join('\n').endsWith(`${last.code}\n\`\`\`\n`)
    ) {
      last.output = code
    }
    i = end
  }
  return found
}

/**
 * Writes snippets into a folder of the package, where they find it by its name, and compiles those in TypeScript with the
 * package's own strictness. Gives the files to run, in the order of the snippets. Throws with the compiler's words.
 */
export function writeSnippets(folder: string, snippets: readonly Snippet[]): string[] {
  mkdirSync(folder, { recursive: true })
  const name = (snippet: Snippet) => join(folder, snippet.place.replace(/\W+/g, '-'))
  for (const snippet of snippets) writeFileSync(`${name(snippet)}.${snippet.language}`, `${snippet.code}\n`)
  const sources = snippets.filter(({ language }) => language === 'ts').map((snippet) => `${name(snippet)}.ts`)
  if (sources.length > 0) compile(['--outDir', folder, '--rootDir', folder, ...sources])
  return snippets.map((snippet) => `${name(snippet)}.js`)
}

/** Runs the TypeScript compiler. Throws with its words when it finds something. */
export function compile(args: readonly string[]): void {
  const strictness = ['--strict', '--noUncheckedIndexedAccess', '--module', 'nodenext', '--target', 'es2022']
  const libraries = ['--lib', 'es2022,esnext.disposable', '--types', 'node', '--skipLibCheck', '--pretty', 'false']
  const compiler = join(packageFolder, 'node_modules/typescript/bin/tsc')
  try {
    execFileSync(process.execPath, [compiler, ...strictness, ...libraries, ...args], {
      cwd: packageFolder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  } catch (error) {
    throw new Error((error as { stdout?: string }).stdout ?? String(error))
  }
}

export interface Ran {
  stdout: string
  stderr: string
  exitCode: number | null
}

/**
 * Runs a file in a network namespace and a mount namespace of its own, with an empty /run, which it runs in: names and files
 * stay inside too.
 */
export async function runScratch(
  file: string,
  args: readonly string[] = [],
  env?: NodeJS.ProcessEnv,
  timeout = 60_000,
): Promise<Ran> {
  const box = await createNamespace()
  try {
    const setUp = 'mount -t tmpfs -o mode=755 tmpfs /run && cd /run && exec "$@"'
    const wrapper = ['--mount', '--propagation', 'private', 'sh', '-c', setUp, 'sh']
    const options = { cwd: packageFolder, timeout, ...(env === undefined ? {} : { env }) }
    return await box.exec('unshare', [...wrapper, process.execPath, file, ...args], options)
  } finally {
    await box.delete()
  }
}

/** Whether a program printed what is expected: line by line, with '…' for anything. */
export function printsAsExpected(stdout: string, expected: string): boolean {
  const pattern = expected
    .trimEnd()
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^\\n]*')
  return new RegExp(`^${pattern}$`).test(stdout.trimEnd())
}
