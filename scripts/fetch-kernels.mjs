/**
 * `npm run fetch:kernels [-- 6.1 6.12]`: downloads Debian's kernels for guests (kernels/kernel.mjs), all of them without names. Where
 * there is none to be had it says why, and ends with 0: what needs one is skipped then.
 */
import { kernelOf, series, Unavailable } from './kernels/kernel.mjs'
import { fail } from './tools.mjs'

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(series)
if (!names.every((name) => name in series)) fail('usage: npm run fetch:kernels [-- 6.1 6.12]')
for (const name of names) {
  try {
    console.log(`Linux ${name}: ${kernelOf(name).image}`)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    console.log(`SKIPPED: no kernel ${name}: ${error.message}`)
  }
}
