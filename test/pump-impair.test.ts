/** Poor links: loss, duplication, reordering, damage, delay and rate of a pump. */
import { test } from 'tap'
import { needs } from './support/needs.js'
import { arrivals, cable, echo, line, send } from './support/pumps.js'

const invalid = { code: 'ERR_INVALID_ARG_VALUE' }
const range = { code: 'ERR_OUT_OF_RANGE' }
const type = { code: 'ERR_INVALID_ARG_TYPE' }

test('without options every frame comes, in order', async (t) => {
  const way = line(t)
  await send(way, 20_000, 100)
  const seen = await arrivals(way, 20_000)
  t.ok(seen.every(({ number }, i) => number === i))
  t.match(way.pump.stats().forward, { frames: 20_000, bytes: 2_000_000, lost: 0, refused: 0 })
  t.match(way.pump.stats().backward, { frames: 0 })
})

test('loss', async (t) => {
  const lose = async (seed: number) => {
    const way = line(t, { loss: 10, seed })
    await send(way, 20_000)
    const seen = await arrivals(way, 20_000)
    const { lost } = way.pump.stats().forward
    t.equal(seen.length + lost, 20_000, 'each lost frame is counted')
    t.ok(lost > 1800 && lost < 2200, `${lost} of 20,000`)
    t.ok(
      seen.every(({ number }, i) => i === 0 || number > (seen[i - 1]?.number ?? -1)),
      'the others keep their order',
    )
    return seen.map(({ number }) => number)
  }
  const first = await lose(1)
  t.same(await lose(1), first, 'the same seed loses the same frames')
  t.notSame(await lose(2), first, 'another one others')
  const all = line(t, { loss: 100 })
  await send(all, 1000)
  t.same(await arrivals(all, 1000), [], 'everything')
})

test('duplicates', async (t) => {
  const way = line(t, { duplicate: 5, seed: 3 })
  await send(way, 20_000)
  const seen = await arrivals(way, 20_000)
  const { duplicated } = way.pump.stats().forward
  t.equal(seen.length, 20_000 + duplicated)
  t.ok(duplicated > 850 && duplicated < 1150, `${duplicated} of 20,000`)
  let twice = 0
  for (let i = 1; i < seen.length; i++) if (seen[i]?.number === seen[i - 1]?.number) twice++
  t.equal(twice, duplicated, 'a copy comes right behind')
})

test('damage', async (t) => {
  const way = line(t, { corrupt: 20, seed: 4 })
  await send(way, 5000, 1000)
  const seen = await arrivals(way, 5000)
  const { corrupted } = way.pump.stats().forward
  t.ok(corrupted > 850 && corrupted < 1150, `${corrupted} of 5,000`)
  let damaged = 0
  seen.forEach(({ number, rest }, i) => {
    const bits = rest.reduce((sum, octet) => sum + octet.toString(2).replaceAll('0', '').length, 0)
    if (bits > 1) t.fail(`frame ${i} has ${bits} wrong bits`)
    if (bits === 1 || number !== i) damaged++
  })
  // Damage to the addresses is not looked for: 12 of 1,000 bytes.
  t.ok(damaged <= corrupted && damaged > corrupted * 0.95, `${damaged} of ${corrupted} were found`)
})

test('delay', async (t) => {
  const way = line(t, { delay: 40 })
  const sent = performance.now()
  await send(way, 100)
  t.equal(way.pump.stats().forward.waiting, 100)
  t.equal(way.pump.stats().forward.waitingBytes, 6000)
  const seen = await arrivals(way, 100)
  t.ok(
    seen.every(({ at }) => at - sent >= 40),
    'no frame is there before',
  )
  t.ok(seen.every(({ number }, i) => number === i))
})

test('jitter changes the time, and not the order', async (t) => {
  const way = line(t, { delay: 30, jitter: 20, seed: 5 })
  for (let i = 0; i < 50; i++) {
    await send(way, 10, 60, i * 10)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const seen = await arrivals(way, 500)
  t.ok(seen.every(({ number }, i) => number === i))
  t.ok(new Set(seen.map(({ at }) => at)).size > 5, 'they do not come all at once')
})

test('reordering', async (t) => {
  const way = line(t, { delay: 20, reorder: 10, seed: 6 })
  await send(way, 5000)
  const seen = await arrivals(way, 5000)
  const { reordered } = way.pump.stats().forward
  t.ok(reordered > 400 && reordered < 600, `${reordered} of 5,000`)
  t.same(
    seen.map(({ number }) => number).sort((x, y) => x - y),
    Array.from({ length: 5000 }, (_, i) => i),
    'all are there',
  )
  let overtaken = 0
  let last = -1
  for (const { number } of seen) {
    if (number < last) overtaken++
    else last = number
  }
  t.ok(overtaken > 0, `${overtaken} were overtaken`)
})

test('rate', async (t) => {
  const way = line(t, { rate: '10mbit', burst: 2000 })
  const sent = performance.now()
  await send(way, 100, 1250)
  const seen = await arrivals(way, 100)
  // 1 Mbit, of which 16 kbit may come at once, at 10 Mbit/s.
  const took = (seen.at(-1)?.at ?? 0) - sent
  t.ok(took >= 98, `100 frames take ${took} ms`)
  t.ok(seen.every(({ number }, i) => number === i))

  const burst = line(t, { rate: 8000, burst: 10_000 })
  await send(burst, 100, 100)
  t.equal((await arrivals(burst, 100)).length, 100, 'a burst goes at once, at any rate')
})

test('a changed rate holds for what waits', async (t) => {
  const way = line(t, { rate: 80_000, burst: 1000 })
  await send(way, 100, 1000)
  t.ok(way.pump.stats().forward.waiting > 90, 'ten seconds of frames')
  way.pump.set({ rate: '1gbit' })
  t.equal((await arrivals(way, 100)).length, 100)
  way.pump.set({ rate: undefined })
  await send(way, 1000, 1000)
  t.equal(way.pump.stats().forward.waiting, 0, 'and none at all lets everything go')
})

test('limit', async (t) => {
  const frames = line(t, { delay: 60, limit: 10 })
  await send(frames, 500)
  t.match(frames.pump.stats().forward, { dropped: 490, waiting: 10 })
  t.same(
    (await arrivals(frames, 500)).map(({ number }) => number),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    'the last ones are dropped',
  )
  const bytes = line(t, { delay: 60, limit: { bytes: 1000 } })
  await send(bytes, 500, 100)
  t.match(bytes.pump.stats().forward, { dropped: 490, waitingBytes: 1000 })
  const tiny = line(t, { delay: 1, limit: { bytes: 1 } })
  await send(tiny, 1)
  t.equal((await arrivals(tiny, 1)).length, 1, 'one frame always has room')
  const none = line(t, { loss: 0.0001, seed: 1, limit: 1 })
  await send(none, 2000)
  t.equal(none.pump.stats().forward.dropped, 0, 'what need not wait needs no room')
  const double = line(t, { delay: 20, limit: 10, duplicate: 100 })
  await send(double, 50)
  t.match(double.pump.stats().forward, { frames: 50, duplicated: 50, dropped: 90, waiting: 10 }, 'each is somewhere')
  t.equal((await arrivals(double, 50)).length, 10)
})

test('options change while it runs', async (t) => {
  const way = line(t, { loss: 100 })
  await send(way, 100)
  t.equal(way.pump.stats().forward.lost, 100)
  way.pump.set({ backward: { loss: 50 } })
  await send(way, 100)
  t.equal(way.pump.stats().forward.lost, 200, 'the other direction is not this one')
  way.pump.set({ forward: { loss: 0 } })
  await send(way, 100)
  t.match(way.pump.stats().forward, { frames: 300, lost: 200, waiting: 0 })
  way.pump.set({ delay: 30 })
  await send(way, 100)
  way.pump.set({ delay: undefined, loss: 100 })
  await send(way, 100)
  t.equal((await arrivals(way, 500)).length, 200, 'what waited for its delay still comes')
  t.equal(way.pump.stats().forward.lost, 300)
})

test('chances begin anew with a seed', async (t) => {
  const way = line(t, { loss: 50, seed: 9 })
  const rounds: string[] = []
  for (let round = 0; round < 3; round++) {
    const before = way.pump.stats().forward.lost
    way.pump.set({ seed: 9 })
    await send(way, 1000, 60, 0)
    rounds.push(`${way.pump.stats().forward.lost - before}`)
  }
  t.equal(new Set(rounds).size, 1, rounds.join(' '))
})

test('each direction has its own options', await needs('namespaces', 'tun', 'ping'), async (t) => {
  const { left, right, a, b } = await cable(t)
  const { startPump } = await import('../dist/pump/pump.js')
  const pump = startPump(a, b, { delay: 5, forward: { delay: 10 } })
  const { stdout } = await left.exec('ping', ['-c3', '-i0.05', '-W2', '10.0.1.2'])
  const times = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time))
  t.equal(times.length, 3)
  t.ok(times.every((time) => time >= 15))
  pump.set({ forward: { loss: 100 } })
  const { exitCode } = await right.exec('ping', ['-c1', '-W0.3', '10.0.1.1'])
  t.equal(exitCode, 1)
  await pump.close()
})

test('TCP over a poor link, with offload', await needs('namespaces', 'tun'), async (t) => {
  const ends = await cable(t, { offload: true }, { offload: true })
  const { startPump } = await import('../dist/pump/pump.js')
  const pump = startPump(ends.a, ends.b, { loss: 1, duplicate: 1, reorder: 1, corrupt: 0.5, delay: 1, seed: 11 })
  for (const host of ['10.0.1.2', 'fd00::2']) {
    t.ok(await echo(ends, host, 1_500_000), `${host}: all bytes come as they were`)
  }
  const { forward } = pump.stats()
  t.ok(forward.lost > 5, `each segment has its own fate: ${forward.lost} of ${forward.frames} frames`)
  t.ok(forward.duplicated > 5 && forward.corrupted > 2)
  await pump.close()
})

test('a rate with offload', await needs('namespaces', 'tun'), async (t) => {
  const ends = await cable(t, { offload: true }, { offload: true })
  const { startPump } = await import('../dist/pump/pump.js')
  const pump = startPump(ends.a, ends.b, { rate: '40mbit', backward: { rate: '80mbit' } })
  const began = performance.now()
  t.ok(await echo(ends, '10.0.1.2', 1_000_000))
  const took = performance.now() - began
  t.ok(took >= 190, `8 Mbit at 40 Mbit/s take ${took} ms`)
  await pump.close()
})

test('options are checked', async (t) => {
  const way = line(t)
  const { pump } = way
  const wrong: [options: object, error: { code: string | RegExp; message?: RegExp }][] = [
    [{ loss: -1 }, range],
    [{ loss: 101 }, range],
    [{ loss: '1%' }, type],
    [{ duplicate: Number.NaN }, type],
    [{ delay: -1 }, range],
    [{ delay: '1s' }, type],
    [{ jitter: 1e12 }, range],
    [{ reorder: 5 }, { ...invalid, message: /needs a delay/ }],
    [{ rate: '10bps' }, invalid],
    [{ rate: 1 }, range],
    [{ burst: 0 }, range],
    [{ limit: 0 }, range],
    [{ limit: { frame: 1 } }, { ...invalid, message: /frames/ }],
    [{ seed: 1.5 }, type],
    [{ coalesce: 'yes' }, type],
    [{ filter: 'tcp' }, type],
    [{ filter: new Uint8Array(7) }, invalid],
    [{ filter: new Uint8Array(8) }, invalid],
    [{ filter: { port: -1 } }, { code: /^ERR_/ }],
    [{ lost: 1 }, { ...invalid, message: /loss/ }],
    [{ forward: { backward: {} } }, invalid],
    [{ forward: 1 }, type],
  ]
  for (const [options, error] of wrong) t.throws(() => pump.set(options as never), error, JSON.stringify(options))
  t.throws(() => pump.set(undefined as never), type)
  await send(way, 1)
  t.equal((await arrivals(way, 1)).length, 1, 'nothing has changed')
})
