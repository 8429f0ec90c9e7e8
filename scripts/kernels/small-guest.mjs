/**
 * A guest of busybox alone, with a network device and nothing of the host: what the tests of hypervisors start, in some 2 s.
 * `node scripts/kernels/small-guest.mjs FILE` fetches a kernel if none is here, writes the guest's first file system to FILE, and prints
 * where both are, for examples/qemu-guest-on-a-switch.mjs.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fail, which } from '../tools.mjs'
import { cpio } from './cpio.mjs'
import { modulesInOrder } from './initramfs.mjs'
import { checkTools, kernelHere, kernelOf, series, Unavailable } from './kernel.mjs'

const wanted = ['virtio_pci', 'virtio_net', 'virtio_console']

/** The newest kernel that was fetched, or undefined; and why there is no guest, or undefined. */
export function findKernel() {
  try {
    checkTools()
  } catch (error) {
    return { reason: error.message }
  }
  const names = Object.keys(series).sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
  const kernel = names.map(kernelHere).find((found) => found !== undefined)
  return kernel ? { kernel } : { reason: 'no kernel for a guest is here (npm run fetch:kernels)' }
}

/** The archive for a kernel: busybox, the modules of virtio-net, and init. */
export function smallInitramfs(kernel) {
  const folder = join(kernel.modules, kernel.release)
  return cpio([
    ...['bin', 'dev', 'etc', 'modules', 'proc', 'sys', 'tmp'].map((name) => ({ name })),
    { name: 'dev/console', device: [5, 1], mode: 0o600 },
    { name: 'bin/busybox', content: readFileSync(which('busybox')), mode: 0o755 },
    { name: 'init', content: readFileSync(join(import.meta.dirname, 'small-init.sh')), mode: 0o755 },
    ...modulesInOrder(folder, wanted).map((file, i) => ({
      name: `modules/${String(i).padStart(2, '0')}-${basename(file)}`,
      content: readFileSync(join(folder, file)),
    })),
  ])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2] ?? fail('usage: node scripts/kernels/small-guest.mjs FILE')
  try {
    checkTools()
    const kernel = findKernel().kernel ?? kernelOf('6.12')
    writeFileSync(file, smallInitramfs(kernel))
    console.log(`${kernel.image} ${file}`)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    fail(error.message)
  }
}
