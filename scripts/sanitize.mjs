/**
 * Runs test files with the addon compiled under AddressSanitizer and UndefinedBehaviorSanitizer, or under ThreadSanitizer:
 *
 *   node scripts/sanitize.mjs [--thread] .test-build/native.test.js [more test files]
 *
 * The build goes to build-sanitize/, beside the usual one; each file then runs in namespaces of its own. Node.js itself is not
 * instrumented, so the runtime is preloaded.
 * Fails when a test fails, when a sanitizer reports an error in any process, or when memory leaked that was allocated by way
 * of the addon. Leaks of Node.js and of programs that the tests start are counted and otherwise ignored.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'
import { gypEnvironment } from './build.mjs'
import { requiredPrefix } from './isolate.mjs'
import { bin, fail, root, step } from './tools.mjs'

const [kind, files] =
  process.argv[2] === '--thread' ? ['thread', process.argv.slice(3)] : ['address', process.argv.slice(2)]
const isThread = kind === 'thread'
const folder = join(root, 'build-sanitize', ...(isThread ? ['thread'] : []))
const reports = join(folder, 'reports')
const log = `log_path=${join(reports, 'report')}`

/** What is preloaded, the value of netkit_sanitize in binding.gyp, and what the runtime is told. */
const sanitizer = {
  address: {
    libraries: ['libasan.so', 'libubsan.so', 'libstdc++.so'],
    number: 1,
    options: {
      // Errors abort. Leaks do not change a program's exit code, as `ip` has some too: they are read from the reports.
      // The slow unwinder is needed to see by way of whom Node.js, compiled without frame pointers, allocates. Five frames
      // reach the addon through one Node-API call, and not through V8, whose own memory is not freed at process.exit().
      ASAN_OPTIONS: `detect_leaks=1:abort_on_error=1:exitcode=0:fast_unwind_on_malloc=0:malloc_context_size=5:${log}`,
      UBSAN_OPTIONS: `print_stacktrace=1:abort_on_error=1:${log}`,
    },
  },
  thread: {
    libraries: ['libtsan.so', 'libstdc++.so'],
    number: 2,
    // How Node.js synchronises its own memory cannot be seen, so what it calls of the C library is not looked at.
    options: { TSAN_OPTIONS: `ignore_noninstrumented_modules=1:exitcode=0:history_size=4:${log}` },
  },
}[kind]

/** The sanitizer's runtime must come first in the process, and libstdc++ with it, or it cannot intercept C++ exceptions. */
function preload() {
  const compiler = process.env.CXX ?? 'g++'
  const libraries = sanitizer.libraries.map((name) => {
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
    if (!existsSync(join(folder, name))) symlinkSync(relative(folder, join(root, name)), join(folder, name))
  }
  const args = [bin.nodeGyp, 'rebuild', '--jobs', 'max', '-C', folder, '--', `-Dnetkit_sanitize=${sanitizer.number}`]
  step('Compiling the addon with the sanitizers', process.execPath, args, { env: gypEnvironment() })
}

function run(file, isolation, libraries) {
  // The preload is for Node.js only, not for the programs that make the namespaces.
  const [program, ...args] = [...isolation, 'env', `LD_PRELOAD=${libraries}`, process.execPath, file]
  const { status, signal } = spawnSync(program, args, {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      NETKIT_PREBUILD: folder,
      TAP_TIMEOUT: process.env.TAP_TIMEOUT ?? '600',
      ...sanitizer.options,
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
      } else if (
        /ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error:|has encountered a fatal error|CHECK failed/.test(
          block,
        )
      ) {
        found.errors.push(block)
      }
    }
  }
  return found
}

if (files.length === 0) fail('name the test files to run')
const isolation = requiredPrefix()
build()
const libraries = preload()
rmSync(reports, { recursive: true, force: true })
mkdirSync(reports, { recursive: true })
const failures = []
for (const file of files) {
  const problem = run(file, isolation, libraries)
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
