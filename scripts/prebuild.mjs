/**
 * `npm run prebuild [-- PLATFORM…]`: the addon for publishing, prebuilds/linux-x64 and prebuilds/linux-arm64.
 *
 * The one for the other processor needs Debian's cross compiler; without it, this says what to install and goes on.
 * Each is built in a copy, so that build/, which the tests load, stays as it is.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gypEnvironment } from './build.mjs'
import { bin, fail, filesIn, isStale, root, step, which } from './tools.mjs'

/** The processors that are published, and the GNU triplet of each one's compiler. */
export const platforms = {
  'linux-x64': 'x86_64-linux-gnu',
  'linux-arm64': 'aarch64-linux-gnu',
}

/** The published binary of a platform. node-gyp-build chooses it by its folder and by the tag `glibc`. */
export const prebuilt = (platform) => join(root, 'prebuilds', platform, 'netkit.glibc.node')

/** True when a platform's binary is missing, or older than the sources. */
export function isOutdated(platform) {
  return isStale([prebuilt(platform)], [...filesIn(join(root, 'src-native')), join(root, 'binding.gyp')])
}

/** The environment in which a platform is compiled, or undefined when its compiler is not here. */
export function toolsFor(platform) {
  const env = { ...gypEnvironment() }
  if (platform === `${process.platform}-${process.arch}`) return which('g++') ? { env, strip: 'strip' } : undefined
  const triplet = platforms[platform]
  if (!which(`${triplet}-g++`)) return undefined
  const tool = (name) => `${triplet}-${name}`
  return { env: { ...env, CC: tool('gcc'), CXX: tool('g++'), AR: tool('ar') }, strip: tool('strip') }
}

/** What to install for a platform that toolsFor() knows no compiler for. */
export const missing = (platform) => `apt-get install g++-${platforms[platform].replaceAll('_', '-')}`

export function prebuild(platform) {
  const tools = toolsFor(platform)
  if (!tools) fail(`${platform}: there is no compiler for it: ${missing(platform)}`)
  const folder = mkdtempSync(join(tmpdir(), 'netkit-prebuild-'))
  try {
    for (const name of ['package.json', 'binding.gyp', 'src-native']) {
      cpSync(join(root, name), join(folder, name), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    const [, arch] = platform.split('-')
    const target = `--target=${process.version}`
    const options = ['--napi', '--strip', '--tag-libc', `--arch=${arch}`, target, `--strip-bin=${tools.strip}`]
    step(`Compiling for ${platform}`, process.execPath, [bin.prebuildify, ...options], { cwd: folder, env: tools.env })
    const made = join(folder, 'prebuilds', platform)
    const to = join(root, 'prebuilds', platform)
    rmSync(to, { recursive: true, force: true })
    mkdirSync(to, { recursive: true })
    for (const file of readdirSync(made)) cpSync(join(made, file), join(to, file))
    if (!existsSync(prebuilt(platform)))
      fail(`prebuildify made ${readdirSync(made).join(', ')}, not ${prebuilt(platform)}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) {
  const wanted = process.argv.slice(2)
  for (const platform of wanted) if (!(platform in platforms)) fail(`unknown platform ${platform}`)
  for (const platform of wanted.length > 0 ? wanted : Object.keys(platforms)) {
    if (wanted.length > 0 || toolsFor(platform)) prebuild(platform)
    else console.log(`${platform}: skipped, there is no compiler for it: ${missing(platform)}`)
  }
}
