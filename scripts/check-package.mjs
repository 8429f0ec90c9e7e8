/**
 * `npm run check:package`: packs what would be published, and looks at the tarball from the outside: what is in it, what its
 * metadata make npm do, what publint and attw say, what the binaries need of the system, and that it installs in an empty folder
 * without compiler, Python and network, and then works.
 *
 * The tarball that passed stays in build/package/: that is the file to publish.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildLib } from './build.mjs'
import { chooseIsolation, prefix } from './isolate.mjs'
import { isOutdated, missing, platforms, prebuild, prebuilt, toolsFor } from './prebuild.mjs'
import { bin, fail, output, root, run, step, which } from './tools.mjs'

/**
 * The newest symbol versions that a binary may ask for: those of RHEL 8 and Debian 10 (glibc 2.28, GCC 8), which is what
 * Node 20's own binaries ask for.
 */
const newest = { GLIBC: '2.28', GLIBCXX: '3.4.25', CXXABI: '1.3.11' }

const problems = []
function expect(condition, message) {
  if (!condition) problems.push(message)
}

/** -1, 0 or 1, as dotted numbers compare. */
function compareVersions(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number))
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return Math.sign(difference)
  }
  return 0
}

/** Holds the symbol versions and the libraries of a binary against what is allowed. readelf reads any processor's files. */
function checkBinary(platform) {
  const file = prebuilt(platform)
  const versions = new Map()
  for (const [, name, version] of output('readelf', ['-W', '-V', file]).matchAll(
    /\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)/g,
  )) {
    if (compareVersions(version, versions.get(name) ?? '0') > 0) versions.set(name, version)
  }
  expect(versions.has('GLIBC'), `${platform}: readelf found no version of glibc`)
  for (const [name, version] of versions) {
    expect(
      compareVersions(version, newest[name]) <= 0,
      `${platform}: needs ${name}_${version}, newer than ${newest[name]}`,
    )
  }
  const needed = [...output('readelf', ['-W', '-d', file]).matchAll(/\(NEEDED\)[^[]*\[(.*)\]/g)].map(([, name]) => name)
  const known = /^(libc|libm|libpthread|libstdc\+\+|libgcc_s|ld-linux-.*)\.so\.\d+$/
  for (const name of needed) expect(known.test(name), `${platform}: needs the library ${name}`)
  const words = [...versions].map(([name, version]) => `${name} ${version}`).join(', ')
  console.log(`${platform}: needs ${words}; ${needed.join(', ')}`)
}

/** What is packed, and what npm will do with it. */
function checkContents(files, manifest) {
  const intended = [/^package\.json$/, /^README\.md$/, /^LICENSE$/, /^dist\/[\w./-]+\.(js|js\.map|d\.ts)$/]
  const inPrebuilds = ['prebuilds/README.md', ...built.map((platform) => prebuilt(platform).slice(root.length + 1))]
  for (const file of files) {
    expect(
      intended.some((pattern) => pattern.test(file)) || inPrebuilds.includes(file),
      `packed, but not meant to be: ${file}`,
    )
  }
  for (const file of ['README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', ...inPrebuilds]) {
    expect(files.includes(file), `not packed: ${file}`)
  }
  const lifecycle = /^(pre|post)?(install|uninstall|prepare|publish|pack)$|^(prepublishOnly|dependencies)$/
  for (const script of Object.keys(manifest.scripts ?? {})) {
    expect(!lifecycle.test(script), `the script "${script}" is one that npm runs by itself`)
  }
  expect(manifest.gypfile === false, 'gypfile is not false: npm would compile on installation')
  expect(!manifest.bundleDependencies, 'dependencies are bundled')
}

/** A PATH with what an installation may use: Node, npm, a shell and the usual small tools, but nothing that compiles. */
function bareFolder(folder) {
  mkdirSync(folder)
  const npm = which('npm')
  const tools = [
    'sh',
    'env',
    'cat',
    'ls',
    'mkdir',
    'rm',
    'cp',
    'mv',
    'ln',
    'chmod',
    'uname',
    'dirname',
    'basename',
    'sed',
    'grep',
  ]
  symlinkSync(process.execPath, join(folder, 'node'))
  symlinkSync(npm, join(folder, 'npm'))
  for (const tool of tools) if (which(tool)) symlinkSync(which(tool), join(folder, tool))
  for (const tool of ['gcc', 'g++', 'cc', 'c++', 'clang', 'make', 'python', 'python3', 'node-gyp']) {
    if (which(tool, folder)) fail(`${tool} is in the folder that is to hold no compiler`)
  }
}

const program = `
const name = Object.keys(await import('netkit')).includes('createNamespace')
if (!name) throw new Error('import: there is no createNamespace')
const { createNamespace, currentNamespace } = await import('netkit')
const { createRequire } = await import('node:module')
const required = createRequire(import.meta.url)('netkit')
if (required.createNamespace !== createNamespace) throw new Error('require() gave another module than import')
const { readlinkSync } = await import('node:fs')
const here = readlinkSync('/proc/self/ns/net')
if (here !== 'net:[' + currentNamespace().inode + ']') throw new Error('currentNamespace(): ' + currentNamespace().inode + ', not ' + here)
if (process.argv[2] !== 'none') {
  const made = await createNamespace()
  const inside = made.run(() => readlinkSync('/proc/thread-self/ns/net'))
  if (inside !== 'net:[' + made.inode + ']' || inside === here) throw new Error('run(): in ' + inside + ', not ' + made.inode)
  if (readlinkSync('/proc/thread-self/ns/net') !== here) throw new Error('run() did not return')
  await made.delete()
}
const loaded = createRequire(createRequire(import.meta.url).resolve('netkit'))('node-gyp-build').resolve(process.argv[3])
if (!loaded.includes('/prebuilds/')) throw new Error('loaded ' + loaded)
console.log('works: ' + loaded.slice(process.argv[3].length + 1))
`

const types = `
import { type Namespace, createNamespace } from 'netkit'
const namespace: Namespace = await createNamespace()
const inode: number | bigint = namespace.inode
console.log(inode)
`

/** Installs the tarball as a user does, but without compiler and network, and uses it. */
function checkInstallation(tarball) {
  const folder = mkdtempSync(join(tmpdir(), 'netkit package-'))
  try {
    const bare = join(folder, 'bin')
    bareFolder(bare)
    const app = join(folder, 'app')
    mkdirSync(app)
    writeFileSync(join(app, 'package.json'), '{ "name": "app", "private": true, "type": "module" }')
    // The one dependency comes from node_modules, so that the installation needs no network at all.
    const dependency = join(root, 'node_modules/node-gyp-build')
    const packed = JSON.parse(
      output('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder, dependency]),
    )
    const archives = [join(folder, packed[0].filename), tarball]
    const env = {
      PATH: bare,
      HOME: folder,
      npm_config_cache: join(folder, 'cache'),
      npm_config_update_notifier: 'false',
    }
    const install = spawnSync(join(bare, 'npm'), ['install', '--offline', '--no-audit', '--no-fund', ...archives], {
      cwd: app,
      env,
      encoding: 'utf8',
    })
    if (install.status !== 0) fail(`npm install failed\n${install.stdout}${install.stderr}${install.error ?? ''}`)
    const said = `${install.stdout}${install.stderr}`
    expect(!/warn|gyp|deprecat/i.test(said), `npm install is not silent:\n${said}`)
    const installed = readdirSync(join(app, 'node_modules')).filter((name) => !name.startsWith('.'))
    expect(installed.join() === 'netkit,node-gyp-build', `installed: ${installed.join(', ')}`)

    writeFileSync(join(app, 'program.js'), program)
    const { kind } = chooseIsolation()
    const [command, ...args] = [...prefix(kind), process.execPath, '--no-warnings', 'program.js']
    const location = join(app, 'node_modules/netkit')
    // unshare(1), mount(8) and ip(8) are found through the usual PATH; the program itself runs no other.
    expect(run(command, [...args, kind, location], { cwd: app }), 'the installed package does not work')

    writeFileSync(join(app, 'program.ts'), types)
    symlinkSync(join(root, 'node_modules/@types'), join(app, 'node_modules/@types'))
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--types',
      'node',
      'program.ts',
    ]
    expect(run(process.execPath, [bin.tsc, ...options], { cwd: app }), 'the types do not compile in a user’s program')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

buildLib()
const built = Object.keys(platforms).filter((platform) => {
  if (toolsFor(platform)) {
    if (isOutdated(platform)) prebuild(platform)
    return true
  }
  // What is published must hold all of them; on a developer's machine the rest can be looked at without.
  if (process.env.CI) fail(`${platform}: there is no compiler for it: ${missing(platform)}`)
  console.log(`${platform}: not looked at, there is no compiler for it: ${missing(platform)}`)
  rmSync(dirname(prebuilt(platform)), { recursive: true, force: true })
  return false
})

const folder = join(root, 'build/package')
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const [packed] = JSON.parse(output('npm', ['pack', '--json', '--pack-destination', folder]))
const tarball = join(folder, packed.filename)
step('Unpacking', 'tar', ['-xzf', tarball, '-C', folder])
const manifest = JSON.parse(readFileSync(join(folder, 'package/package.json'), 'utf8'))
console.log(`${packed.filename}: ${packed.files.length} files, ${packed.size} bytes`)

checkContents(
  packed.files.map((file) => file.path),
  manifest,
)
for (const platform of built) checkBinary(platform)
const cli = (path) => join(root, 'node_modules', path)
expect(run(process.execPath, [cli('publint/src/cli.js'), tarball, '--strict']), 'publint')
expect(run(process.execPath, [cli('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'esm-only']), 'attw')
checkInstallation(tarball)

for (const problem of problems) console.error(`FAILED: ${problem}`)
if (problems.length > 0) process.exit(1)
console.log(`the package is good: ${tarball.slice(root.length + 1)}`)
