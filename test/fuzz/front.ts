/** An object before the addon, so that targets can say what the kernel answers. To be loaded before anything of dist. */
import { createRequire } from 'node:module'
import type { Native } from '../../dist/native.js'
import { packageFolder } from '../support/program.js'

const require = createRequire(import.meta.url)
const loader = require.resolve('node-gyp-build')
const real = (require(loader) as (folder: string) => Native)(packageFolder)

/** What replaces functions of the addon. */
export const front: Native = Object.create(real)

const cached = require.cache[loader]
if (cached !== undefined) cached.exports = () => front

/** Replaces functions while `fn` runs. */
export async function instead<T>(functions: Partial<Native>, fn: () => T | Promise<T>): Promise<T> {
  for (const [name, value] of Object.entries(functions)) {
    Object.defineProperty(front, name, { value, configurable: true, writable: true })
  }
  try {
    return await fn()
  } finally {
    for (const name of Object.keys(functions)) delete front[name as keyof Native]
  }
}
