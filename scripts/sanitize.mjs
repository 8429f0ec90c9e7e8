/**
 * Runs test files with the addon compiled under AddressSanitizer and UndefinedBehaviorSanitizer:
 *
 *   unshare -n node scripts/sanitize.mjs .test-build/native.test.js [more test files]
 *
 * The build goes to build-sanitize/, beside the usual one. Node.js itself is not instrumented, so the runtime is preloaded.
 * Fails when a test fails, when a sanitizer reports an error in any process, or when memory leaked that was allocated by way
 * of the addon. Leaks of Node.js and of programs that the tests start are counted and otherwise ignored.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(root, 'build-sanitize')
const reports = join(folder, 'reports')

function fail(message) {
  console.error(`sanitize: ${message}`)
  process.exit(1)
}

/** The sanitizer's runtime must come first in the process, and libstdc++ with it, or it cannot intercept C++ exceptions. */
function preload() {
  const compiler = process.env.CXX ?? 'g++'
  const libraries = ['libasan.so', 'libubsan.so', 'libstdc++.so'].map((name) => {
    const path = execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim()
    if (path === name) fail(`${compiler} has no ${name}`)
    return path
  })
  return libraries.join(':')
}

function build() {
  mkdirSync(folder, { recursive: true })
  // node-gyp always builds into ./build, so it gets a folder of its own that shows the same sources.
  for (const name of ['binding.gyp', 'src-native']) {
    if (!existsSync(join(folder, name))) symlinkSync(join('..', name), join(folder, name))
  }
  const args = ['--no-install', 'node-gyp', 'rebuild', '--loglevel=error', '-C', folder, '--', '-Dnetkit_sanitize=1']
  const { status } = spawnSync('npx', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) fail('the addon did not build')
}

function run(file, libraries) {
  const { status, signal } = spawnSync(process.execPath, [file], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      NETKIT_PREBUILD: folder,
      LD_PRELOAD: libraries,
      TAP_TIMEOUT: process.env.TAP_TIMEOUT ?? '600',
      // Errors abort. Leaks do not change a program's exit code, as `ip` has some too: they are read from the reports.
      // The slow unwinder is needed to see by way of whom Node.js, compiled without frame pointers, allocates. Five frames
      // reach the addon through one Node-API call, and not through V8, whose own memory is not freed at process.exit().
      ASAN_OPTIONS: `detect_leaks=1:abort_on_error=1:exitcode=0:fast_unwind_on_malloc=0:malloc_context_size=5:log_path=${join(reports, 'report')}`,
      UBSAN_OPTIONS: `print_stacktrace=1:abort_on_error=1:log_path=${join(reports, 'report')}`,
    },
  })
  if (signal) return `ended by ${signal}`
  return status === 0 ? undefined : `exit code ${status}`
}

/** What the reports say, by whether it concerns the addon. */
function readReports() {
  const found = { errors: [], leaks: [], ignored: 0 }
  for (const name of readdirSync(reports)) {
    for (const block of readFileSync(join(reports, name), 'utf8').split(/\n{2,}|\n(?=SUMMARY)/)) {
      if (/^(Direct|Indirect) leak of/m.test(block)) {
        // A module that was unloaded before the end of the process can only be an addon.
        if (/src-native\/|netkit\.node|<unknown module>/.test(block)) found.leaks.push(block)
        else found.ignored++
      } else if (/ERROR: AddressSanitizer|runtime error:|has encountered a fatal error|CHECK failed/.test(block)) {
        found.errors.push(block)
      }
    }
  }
  return found
}

const files = process.argv.slice(2)
if (files.length === 0) fail('name the test files to run')
build()
const libraries = preload()
rmSync(reports, { recursive: true, force: true })
mkdirSync(reports, { recursive: true })
const failures = []
for (const file of files) {
  const problem = run(file, libraries)
  if (problem) failures.push(`${relative(root, file)}: ${problem}`)
}
const { errors, leaks, ignored } = readReports()
for (const block of [...errors, ...leaks]) console.error(`${block}\n`)
for (const line of failures) console.error(`sanitize: ${line}`)
console.log(
  `sanitize: ${files.length} files, ${failures.length} failed, ${errors.length} errors, ${leaks.length} leaks of the addon ` +
    `(${ignored} of others)`,
)
if (failures.length + errors.length + leaks.length > 0) process.exitCode = 1
