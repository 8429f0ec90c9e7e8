/** What links, addresses, routes and their requests leave behind: nothing. Measured in processes of their own. */
import t, { type Test } from 'tap'
import { needs } from './support/needs.js'
import { askProgram } from './support/program.js'

const namespaces = await needs('namespaces')

/** What a program measures of itself, for the programs below. */
const measuring = `
import { readdirSync } from 'node:fs'
import { createBridge, createNamespace, createVeth } from './dist/index.js'
import { native } from './dist/native.js'
const measure = async () => {
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    owned: native.ownedDescriptors(),
    threads: readdirSync('/proc/self/task').length,
    outside: rss - heapTotal,
    inside: heapUsed,
  }
}
const times = async (rounds, width, one) => {
  for (let i = 0; i < rounds; i++) await Promise.all(Array.from({ length: width }, (_, k) => one(i * width + k)))
}
`

interface Measured {
  descriptors: number
  owned: number
  threads: number
  /** Bytes of the resident set that are not V8's heap, and bytes of the heap that are in use. */
  outside: number
  inside: number
}

function checkGrowth(t: Test, { warm, end }: { warm: Measured; end: Measured }): void {
  t.equal(end.descriptors, warm.descriptors, `${end.descriptors} descriptors`)
  t.equal(end.owned, warm.owned, `${end.owned} of them netkit's`)
  t.equal(end.threads, warm.threads, `${end.threads} threads`)
  const grown = { outside: (end.outside - warm.outside) / 2 ** 20, inside: (end.inside - warm.inside) / 2 ** 20 }
  t.ok(grown.outside < 12, `${grown.outside.toFixed(1)} MiB more outside of the heap`)
  t.ok(grown.inside < 2, `${grown.inside.toFixed(1)} MiB more inside`)
}

t.test('twelve thousand requests, one in eight refused', namespaces, async (t) => {
  const result = await askProgram(
    `${measuring}
    const red = await createNamespace()
    const br0 = await createBridge({ name: 'br0', namespace: red })
    const work = async (i) => {
      const address = \`10.\${(i >> 8) & 255}.\${i & 255}.1/32\`
      await br0.addAddress(address)
      const [list] = await Promise.all([
        red.addresses.list({ link: br0 }),
        br0.set({ mtu: 1000 + (i & 63) }),
        red.links.list(),
        red.routes.add({ to: \`172.\${16 + ((i >> 8) & 15)}.\${i & 255}.0/24\`, type: 'blackhole', table: 1000 + i }),
        br0.addAddress(address).then(() => { throw new Error('twice') }, () => {}),
      ])
      if (!list.some((one) => one.address === address)) throw new Error('it is not there')
      await br0.removeAddress(address)
      await red.routes.remove({ to: \`172.\${16 + ((i >> 8) & 15)}.\${i & 255}.0/24\`, table: 1000 + i })
    }
    await times(30, 10, work)
    const warm = await measure()
    await times(150, 10, work)
    console.log(JSON.stringify({ warm, end: await measure() }))`,
    { node: ['--expose-gc'] },
  )
  checkGrowth(t, result)
})

t.test('a thousand namespaces with links', namespaces, async (t) => {
  const result = await askProgram(
    `${measuring}
    const work = async () => {
      const red = await createNamespace()
      const [left, right] = await createVeth(
        { namespace: red, up: true, addresses: ['10.0.0.1/24', 'fd00::1/64'] },
        { namespace: red, up: true },
      )
      await red.routes.add({ to: '10.9.0.0/16', via: '10.0.0.9' })
      if ((await red.links.list()).length !== 3) throw new Error('something is missing')
      await red.delete()
      await left.delete().catch(({ code }) => { if (code !== 'EBADF') throw new Error(code) })
    }
    await times(10, 20, work)
    const warm = await measure()
    await times(50, 20, work)
    console.log(JSON.stringify({ warm, end: await measure() }))`,
    { node: ['--expose-gc'] },
  )
  checkGrowth(t, result)
})

t.test('waiting, and giving up', namespaces, async (t) => {
  const result = await askProgram(
    `${measuring}
    const red = await createNamespace()
    const [left, right] = await createVeth({ namespace: red, up: true }, { namespace: red })
    const work = async (i) => {
      const controller = new AbortController()
      const waits = [
        left.waitFor({ running: true }, { signal: controller.signal }),
        left.waitFor({ running: true }, { timeout: 5 }),
        left.waitFor({ running: false }),
        left.waitFor(() => { throw new Error('no') }),
      ]
      setTimeout(() => controller.abort(), i % 7)
      const codes = (await Promise.allSettled(waits)).map(({ status, reason }) => reason?.code ?? reason?.message ?? status)
      if (codes.join() !== 'ABORT_ERR,ETIMEDOUT,fulfilled,no') throw new Error(codes.join())
    }
    await times(10, 10, work)
    const warm = await measure()
    await times(40, 10, work)
    console.log(JSON.stringify({ warm, end: await measure() }))`,
    { node: ['--expose-gc'] },
  )
  checkGrowth(t, result)
})

t.test('creations that fail', namespaces, async (t) => {
  const result = await askProgram(
    `${measuring}
    const red = await createNamespace()
    const box = await createNamespace()
    await createBridge({ name: 'taken', namespace: box })
    const twice = ['10.0.0.1/24', '10.0.0.1/24']
    const work = async () => {
      const results = await Promise.allSettled([
        createVeth({ namespace: red }, { namespace: box, name: 'taken' }),
        createVeth({ namespace: red }, { namespace: box, master: 'gone' }),
        createVeth({ namespace: red, mtu: 3 }, { namespace: box }),
        createBridge({ namespace: red, ports: ['gone'] }),
        createBridge({ namespace: red, mtu: 3, addresses: twice }),
      ])
      if (results.some(({ status }) => status === 'fulfilled')) throw new Error('one of them was made')
    }
    await times(20, 10, work)
    const warm = await measure()
    await times(60, 10, work)
    const end = await measure()
    const left = [await red.links.list(), await box.links.list()].map(({ length }) => length)
    console.log(JSON.stringify({ warm, end, left }))`,
    { node: ['--expose-gc'] },
  )
  checkGrowth(t, result)
  t.same(result.left, [1, 2], 'no link is left')
})

t.test('forgotten namespaces with links', namespaces, async (t) => {
  const result = await askProgram(
    `${measuring}
    const codes = []
    process.on('warning', ({ code, name, message }) => codes.push(code ?? message))
    const forget = async () => {
      const red = await createNamespace()
      const [left] = await createVeth({ namespace: red, up: true }, { namespace: red })
      await left.addAddress('10.0.0.1/24')
      await red.routes.list()
      await left.waitFor({ up: true })
    }
    const before = await measure()
    await times(5, 4, forget)
    const held = native.ownedDescriptors() - before.owned
    for (let i = 0; i < 100 && native.ownedDescriptors() > before.owned; i++) {
      globalThis.gc()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const end = await measure()
    console.log(JSON.stringify({ codes, held, owned: end.owned - before.owned, more: end.descriptors - before.descriptors }))`,
    { node: ['--expose-gc'] },
  )
  t.ok(result.held > 0, `${result.held} descriptors were held`)
  t.equal(result.owned, 0, 'all of them are closed')
  t.ok(result.more <= 1, `${result.more} more are open`)
  t.same(result.codes, ['NETKIT_LEAK'], 'and that is said once')
})

t.test('a link keeps its namespace', namespaces, async (t) => {
  const result = await askProgram(
    `${measuring}
    const codes = []
    process.on('warning', ({ code }) => codes.push(code))
    const make = async () => createBridge({ name: 'br0', namespace: await createNamespace() })
    const link = await make()
    for (let i = 0; i < 20; i++) await measure()
    await link.set({ mtu: 1400 })
    console.log(JSON.stringify({ mtu: link.mtu, codes }))
    await link.namespace.close()`,
    { node: ['--expose-gc'] },
  )
  t.same(result, { mtu: 1400, codes: [] })
})
