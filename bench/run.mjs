// npm run bench -- NAME: runs the benchmark in bench/NAME.mjs, which exports `run`.
import { readdirSync } from 'node:fs'

const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => /^[a-z]+\.mjs$/.test(file) && file !== 'run.mjs')
  .map((file) => file.slice(0, -4))

const [name, ...words] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME [OPTION=NUMBER …], where NAME is one of ${names.join(', ')}`)
  process.exitCode = 2
} else {
  const options = Object.fromEntries(words.map((word) => word.split('=')).map(([key, value]) => [key, Number(value)]))
  const { run } = await import(`./${name}.mjs`)
  await run(options)
}
