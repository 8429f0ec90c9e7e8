/**
 * Counts the tests of a TAP stream. A test is a block (`t.test()`) without blocks inside; the asserts that a file or a
 * block makes besides its inner blocks count as one more. A test is skipped when it is marked so or todo, or when every assert in
 * it is; it failed when its own line says so. A block that failed although nothing in it did (a crash, a lost plan) counts too.
 */
import { Parser } from 'tap-parser'

/** tap's words for a file or block that ran no assert at all. */
const nothing = 'no tests found'

function describe(diagnostics) {
  const lines = []
  for (const [key, value] of Object.entries(diagnostics ?? {})) {
    if (key === 'source' || key === 'at' || value === null) continue
    const text = typeof value === 'string' ? value.trimEnd() : JSON.stringify(value, null, 1)
    if (text === '') continue
    lines.push(text.includes('\n') ? `${key}:\n${text.replace(/^/gm, '  ')}` : `${key}: ${text}`)
  }
  return lines.join('\n')
}

/** Watches one parser (a file's, or a block's); `path` is the names of the blocks around it. */
function watch(parser, path) {
  const counts = {
    passed: 0,
    failed: 0,
    skipped: 0,
    failures: [],
    skips: [],
    passes: [],
    blocks: 0,
    own: { ok: 0, failed: 0, skipped: 0 },
  }
  let inner

  parser.on('child', (child) => {
    inner = watch(child, [...path, child.name])
  })
  parser.on('assert', (result) => {
    const block = inner
    inner = undefined
    const name = [...path, result.name].join(' > ')
    const isSkipped = Boolean(result.skip || result.todo)
    const reason = [result.skip, result.todo].find((mark) => typeof mark === 'string') ?? ''
    if (!block) {
      if (isSkipped) {
        counts.own.skipped++
        counts.skips.push({ name, reason })
      } else if (result.ok) counts.own.ok++
      else {
        counts.own.failed++
        counts.failures.push({ name, details: describe(result.diag) })
      }
      return
    }
    counts.blocks++
    counts.failures.push(...block.failures)
    counts.passes.push(...block.passes)
    const found = block.failures.length > 0
    if (block.blocks > 0 && !isSkipped) {
      const own = ownTests(block)
      counts.passed += block.passed + own.passed
      counts.failed += block.failed + own.failed
      counts.skipped += block.skipped + own.skipped
      counts.skips.push(...block.skips)
      if (!result.ok && !found) counts.failed++
    } else if (isSkipped || (result.ok && block.own.skipped > 0 && block.own.ok === 0)) {
      counts.skipped++
      counts.skips.push({ name, reason: reason || block.skips[0]?.reason || '' })
    } else if (result.ok) counts.passed++
    else counts.failed++
    if (result.ok && !isSkipped) counts.passes.push(name)
    if (!result.ok && !isSkipped && !found) counts.failures.push({ name, details: describe(result.diag) })
  })
  return counts
}

/** What the asserts beside the blocks count as. A skipped one is a skipped block: tap prints no block for it. */
function ownTests({ own }) {
  return { passed: own.ok > 0 && own.failed === 0 ? 1 : 0, failed: own.failed > 0 ? 1 : 0, skipped: own.skipped }
}

/**
 * A counter for one file's stream: `write(chunk)`, then `end()` for the result
 * `{ passed, failed, skipped, failures: [{ name, details }], skips: [{ name, reason }], passes: [name], unfinished }`:
 * `passes` are the blocks that ended well, with those that have blocks in them; `unfinished` is the failure, if any, that stands for a
 * stream without an end. `done()` is true once all that the plan announces has come.
 */
export function createCounter() {
  const parser = new Parser()
  const counts = watch(parser, [])
  let final
  let planned
  parser.on('plan', (plan) => {
    planned = plan
  })
  parser.on('complete', (results) => {
    final = results
  })
  return {
    write: (chunk) => parser.write(chunk),
    done: () => planned !== undefined && parser.count >= planned.end - planned.start + 1,
    end() {
      parser.end()
      const own = ownTests(counts)
      const { failures, skips, passes } = counts
      const passed = counts.passed + own.passed
      let failed = counts.failed + own.failed
      let skipped = counts.skipped + own.skipped
      const skipAll = final.plan.skipAll ? final.plan.skipReason || '' : undefined
      let unfinished
      const add = (name, details = '') => {
        failed++
        failures.push({ name, details })
        return failures.at(-1)
      }
      if (!planned) {
        unfinished = add('the file ended before its tests did')
      } else if (skipAll !== undefined && skipAll !== nothing) {
        skipped++
        skips.push({ name: 'the whole file', reason: skipAll })
      } else if (passed + failed + skipped === 0) {
        unfinished = add('there is no test in this file')
      } else if (!final.ok && failed === 0) {
        add('bad TAP', describe({ failures: final.failures.map((failure) => failure.tapError ?? failure) }))
      }
      return { passed, failed, skipped, failures, skips, passes, unfinished }
    },
  }
}
