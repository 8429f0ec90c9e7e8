/** The first file system of a guest: busybox, init.sh, the modules that reach the host's tree, and the command. */
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { which } from '../tools.mjs'
import { cpio } from './cpio.mjs'

/** What init.sh needs before it can load a module from the host's tree. Some kernels have some of them built in. */
const wanted = ['virtio_pci', 'virtio_console', 'virtio_rng', '9pnet_virtio', '9p', 'overlay']

/** Modules make no device of their own when they are loaded: a test would find it, and call it left behind. */
const moduleOptions = ['dummy numdummies=0', 'ifb numifbs=0', 'bonding max_bonds=0']

const moduleName = (file) =>
  basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_')

/** The files of `wanted` and of all that they depend on, in the order to load them, after modules.dep (modules.dep(5)). */
export function modulesInOrder(folder, wanted) {
  const dependencies = new Map()
  const files = new Map()
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').split('\n')) {
    const [file, rest = ''] = line.split(':')
    if (!file) continue
    files.set(moduleName(file), file)
    dependencies.set(file, rest.trim().split(/\s+/).filter(Boolean))
  }
  const order = []
  const add = (file) => {
    if (order.includes(file)) return
    for (const other of dependencies.get(file) ?? []) add(other)
    order.push(file)
  }
  for (const name of wanted) if (files.has(name)) add(files.get(name))
  return order
}

/** A word that the shell reads as it is. */
export const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`

/** The archive for a kernel (kernel.mjs) that runs the shell commands of `command`. */
export function initramfs(kernel, command) {
  const order = modulesInOrder(join(kernel.modules, kernel.release), wanted)
  return cpio([
    ...['bin', 'dev', 'etc', 'modules'].map((name) => ({ name })),
    { name: 'dev/console', device: [5, 1], mode: 0o600 },
    { name: 'bin/busybox', content: readFileSync(which('busybox')), mode: 0o755 },
    { name: 'init', content: readFileSync(join(import.meta.dirname, 'init.sh')), mode: 0o755 },
    { name: 'etc/modprobe.conf', content: moduleOptions.map((line) => `options ${line}\n`).join('') },
    { name: 'settings', content: `modules=${quoted(kernel.modules)}\n` },
    { name: 'command', content: command },
    // The names keep the order: the shell expands them sorted.
    ...order.map((file, i) => ({
      name: `modules/${String(i).padStart(2, '0')}-${basename(file)}`,
      content: readFileSync(join(kernel.modules, kernel.release, file)),
    })),
  ])
}
