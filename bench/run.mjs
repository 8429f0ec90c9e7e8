// npm run bench [-- NAME… OPTION=VALUE…]: runs the benchmarks bench/NAME.mjs, each of which exports `run`, one after the other;
// all of them when none is named. Each gets the options.
import { readdirSync } from 'node:fs'

const all = readdirSync(new URL('.', import.meta.url))
  .filter((file) => /^[a-z]+\.mjs$/.test(file) && file !== 'run.mjs')
  .map((file) => file.slice(0, -4))
  .sort()

const words = process.argv.slice(2)
const named = words.filter((word) => !word.includes('='))
const options = words.filter((word) => word.includes('=')).map((word) => word.split('='))
if (named.some((name) => !all.includes(name)) || options.some(([key, value]) => key === '' || value === '')) {
  console.error(`usage: npm run bench [-- NAME… OPTION=VALUE…], where NAME is one of ${all.join(', ')}`)
  process.exitCode = 2
} else {
  const values = Object.fromEntries(
    options.map(([key, value]) => [key, Number.isNaN(Number(value)) ? value : Number(value)]),
  )
  for (const name of named.length > 0 ? named : all) {
    console.log(`=== ${name}`)
    const { run } = await import(`./${name}.mjs`)
    await run(values)
  }
}
