/**
 * Debian's kernels for guests: downloaded with apt-get and unpacked, not installed, into a folder that is kept:
 * $NETKIT_KERNELS, or build/kernels. One a series; delete its folder for the newest of the series.
 */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { filesIn, root, which } from '../tools.mjs'

export const cache = resolve(process.env.NETKIT_KERNELS || join(root, 'build/kernels'))

/** The packages of each series: those with all modules, not the "cloud" ones. */
export const series = {
  6.1: /^linux-image-6\.1\.[\d.-]+-amd64$/,
  6.12: /^linux-image-6\.12\.[\d.]+(-\d+)?(\+deb\d+)?-amd64$/,
}

/** Not needed in a guest that has no hardware, and most of the bytes. */
const left = [
  'drivers/gpu',
  'drivers/media',
  'drivers/net/ethernet',
  'drivers/net/wireless',
  'drivers/scsi',
  'drivers/staging',
  'sound',
]

/** Why there is no guest. */
export class Unavailable extends Error {}

function command(program, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    timeout: 300_000,
    maxBuffer: 256 << 20,
    ...options,
  })
  if (error || status !== 0) {
    const said = error?.message ?? `${stderr}`.trim().split('\n').slice(-3).join('; ')
    throw new Unavailable(`${program} ${args.slice(0, 3).join(' ')}: ${said || `exit code ${status}`}`)
  }
  return stdout
}

/** -1, 0 or 1: numbers in a release compare as numbers ('6.1.0-9' < '6.1.0-57'). */
function compareReleases(a, b) {
  return a.localeCompare(b, 'en', { numeric: true })
}

/**
 * The image inside a bzImage, as an ELF file, which QEMU starts without a decompression in the guest (2 s and more). Undefined
 * when it is packed in a way that nothing here unpacks. Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length.
 */
function unpackedImage(bzImage) {
  const start = ((bzImage[0x1f1] || 4) + 1) * 512 + bzImage.readUInt32LE(0x248)
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c))
  const packers = { fd377a58: 'xz', '28b52ffd': 'zstd', '1f8b0800': 'gzip', '02214c18': 'lz4' }
  const packer = packers[payload.subarray(0, 4).toString('hex')]
  if (!packer || !which(packer)) return undefined
  // The payload ends with the unpacked size, which the program takes for garbage: its exit code says nothing.
  const { stdout } = spawnSync(packer, ['-dc'], { input: payload, maxBuffer: 256 << 20 })
  return stdout?.subarray(0, 4).toString('latin1') === '\x7fELF' ? stdout : undefined
}

/** Modules that are packed load all the same, but the guest takes long to unpack them. */
function unpackModules(folder) {
  const files = filesIn(folder, (file) => file.endsWith('.ko.xz'))
  if (!which('xz')) return
  while (files.length > 0) command('xz', ['-d', ...files.splice(0, 500)])
}

/** Downloads a package of the series and unpacks it into `cache`. */
function fetch(name) {
  for (const tool of ['apt-get', 'apt-cache', 'dpkg-deb']) {
    if (!which(tool)) throw new Unavailable(`${tool} is not here to fetch a kernel`)
  }
  const found = command('apt-cache', ['pkgnames', 'linux-image-'], { encoding: 'utf8' }).split('\n')
  const packages = found.filter((candidate) => series[name].test(candidate)).sort(compareReleases)
  if (packages.length === 0) throw new Unavailable(`apt knows no kernel ${name} (apt-get update?)`)
  const release = packages.at(-1).replace('linux-image-', '')

  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, '.unpacking-'))
  try {
    const start = performance.now()
    process.stdout.write(`Fetching ${packages.at(-1)} … `)
    const sandbox = process.getuid() === 0 ? ['-o', 'APT::Sandbox::User=root'] : []
    command('apt-get', ['download', '-q', packages.at(-1), ...sandbox], { cwd: folder })
    const file = readdirSync(folder).find((entry) => entry.endsWith('.deb'))
    command('dpkg-deb', ['-x', join(folder, file), join(folder, 'all')])
    const modules = ['lib/modules', 'usr/lib/modules'].map((path) => join(folder, 'all', path)).find(existsSync)
    const made = join(folder, 'made')
    mkdirSync(join(made, 'lib'), { recursive: true })
    renameSync(modules, join(made, 'lib/modules'))
    for (const path of left)
      rmSync(join(made, 'lib/modules', release, 'kernel', path), { recursive: true, force: true })
    unpackModules(join(made, 'lib/modules'))
    command('busybox', ['depmod', '-b', made, release])
    const image = join(folder, 'all/boot', `vmlinuz-${release}`)
    writeFileSync(join(made, 'image'), unpackedImage(readFileSync(image)) ?? readFileSync(image))
    // Somebody else may have put it there meanwhile: then that one is as good.
    if (!existsSync(join(cache, release))) renameSync(made, join(cache, release))
    console.log(`${((performance.now() - start) / 1000).toFixed(1)} s`)
  } catch (error) {
    console.log('failed')
    throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The kernel of a series, if it was fetched: `{ series, release, image, modules }`. */
export function kernelHere(name) {
  const entries = existsSync(cache) ? readdirSync(cache) : []
  const releases = entries.filter((entry) => series[name].test(`linux-image-${entry}`))
  const release = releases.sort(compareReleases).at(-1)
  if (release === undefined) return undefined
  const folder = join(cache, release)
  return { series: name, release, image: join(folder, 'image'), modules: join(folder, 'lib/modules') }
}

/** The same, fetched when it is not there. Throws Unavailable. */
export function kernelOf(name) {
  if (kernelHere(name) === undefined) fetch(name)
  return kernelHere(name)
}

/** What a guest needs of this machine, besides a kernel. Throws Unavailable. */
export function checkTools() {
  if (process.arch !== 'x64') throw new Unavailable(`the kernels are for x64, and this is ${process.arch}`)
  const packages = {
    'qemu-system-x86_64': 'qemu-system-x86',
    busybox: 'busybox-static',
    flock: 'util-linux',
    setpriv: 'util-linux',
  }
  for (const [program, name] of Object.entries(packages)) {
    if (!which(program)) throw new Unavailable(`${program} is not installed (apt-get install ${name})`)
  }
}
