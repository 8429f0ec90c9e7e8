/** Transactions: all is done or nothing, and the state afterwards is the one before, as iproute2 sees it. */
import t, { type Test } from 'tap'
import { createBridge, createLink, createVeth, type Namespace, openTap, transaction } from '../dist/index.js'
import { needs } from './support/needs.js'
import { ip, ipDo, scratch } from './support/scratch.js'

const able = await needs('namespaces', 'ip')
/** Before Linux 6.2 an interface that is up cannot be renamed. */
const renamesUp = (await needs('kernel:6.2')).skip === false

/** Everything that a transaction can be about, as iproute2 prints it; without what runs. */
async function state(namespace: Namespace): Promise<unknown> {
  const runs = /^(stats|operstate|state$|flags$)|_timer$|_life_time$/
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(clean)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => !runs.test(key))
        .map(([key, member]) => [key, clean(member)]),
    )
  }
  const texts = (list: unknown[]) => list.map((one) => JSON.stringify(clean(one))).sort()
  const fdb = await namespace.exec('bridge', ['fdb', 'show'], { check: true })
  const links: { flags: string[] }[] = await ip(namespace, 'link', 'show')
  return {
    links: texts(links),
    up: links.map(({ flags }) => flags.filter((flag) => !/LOWER_UP|NO-CARRIER|M-DOWN/.test(flag)).sort()),
    addresses: texts(
      (await ip(namespace, 'address', 'show')).flatMap((one: { addr_info: unknown[] }) => one.addr_info),
    ),
    four: texts(await ip(namespace, 'route', 'show', 'table', 'all')),
    rules: texts(await ip(namespace, 'rule', 'show')),
    nexthops: texts(await ip(namespace, 'nexthop', 'show')),
    neighbors: texts(await ip(namespace, 'neigh', 'show', 'nud', 'permanent')),
    proxies: texts(await ip(namespace, 'neigh', 'show', 'proxy')),
    // Without what the bridge has learnt.
    fdb: fdb.stdout
      .split('\n')
      .filter((line) => /master.*(permanent|static)/.test(line))
      .sort(),
  }
}

/** An error of the caller's own. It may get an `undoFailure`, so each is used once. */
const explode = (): never => {
  throw new Error('boom')
}

/** Runs changes in a transaction that fails at its end, and holds the state after it against the one before. */
async function comesBack(t: Test, red: Namespace, what: string, change: (tx: Namespace) => Promise<unknown>) {
  const before = await state(red)
  let during: unknown
  const failed = red.transaction(async (tx) => {
    await change(tx)
    during = await state(red)
    explode()
  })
  const error = await failed.then(
    () => undefined,
    (error: Error & { undoFailure?: unknown }) => error,
  )
  t.equal(error?.message, 'boom', `${what}: the function's own error`)
  t.equal(error?.undoFailure, undefined, 'and all could be undone')
  t.notSame(during, before, 'something was done')
  t.same(await state(red), before, 'and is undone')
}

/** br0 with the port left, whose other end right has addresses and routes; everything up, and no address that comes by itself. */
const still = { addressGeneration: 'none' } as const

async function lab(t: Test): Promise<Namespace> {
  const red = await scratch(t)
  const br0 = await createBridge({
    name: 'br0',
    namespace: red,
    mac: '02:00:00:00:00:10',
    ageingTime: 50_000,
    up: true,
    ...still,
  })
  await createVeth(
    { name: 'left', namespace: red, master: br0, up: true, ...still },
    {
      name: 'right',
      namespace: red,
      mtu: 1400,
      alias: 'the right one',
      addresses: ['10.0.0.1/24', { address: 'fd00::1/64', noDad: true }],
      up: true,
      ...still,
    },
  )
  await ipDo(red, 'route', 'add', '10.1.0.0/16', 'via', '10.0.0.254', 'metric', '7')
  await ipDo(red, 'route', 'add', '10.2.0.0/16', 'dev', 'right', 'table', '100', 'mtu', '1300')
  return red
}

t.test('what succeeds stays', able, async (t) => {
  const red = await lab(t)
  const made = await red.transaction(async (tx) => {
    const link = await createBridge({ name: 'br1', namespace: tx, addresses: ['10.7.0.1/24'], up: true })
    await tx.routes.add({ to: '10.8.0.0/16', via: '10.0.0.7' })
    return link
  })
  t.equal((await red.links.get('br1')).index, made.index)
  t.equal((await red.routes.get({ to: '10.8.0.0/16' })).via, '10.0.0.7')
  await made.set({ mtu: 1450 })
  t.equal((await red.links.get('br1')).mtu, 1450, 'a link of the transaction goes on after it')
})

t.test('links come back', able, async (t) => {
  const red = await lab(t)
  await comesBack(t, red, 'creating', async (tx) => {
    await createBridge({ name: 'br1', namespace: tx, ports: ['right'], up: true })
    await createVeth({ name: 'a', namespace: tx }, { name: 'b', namespace: tx })
  })
  await comesBack(t, red, 'changing', async (tx) => {
    const right = await tx.links.get('right')
    await right.set({
      ...(renamesUp ? { name: 'other' } : {}),
      mtu: 1300,
      mac: '02:00:00:00:00:77',
      alias: 'changed',
      group: 5,
      txQueueLength: 17,
    })
    await right.set({ arp: false, promiscuous: true, addressGeneration: 'eui64' })
  })
  await comesBack(t, red, 'options of a kind', async (tx) => {
    const br0 = await tx.links.get('br0')
    await br0.set({ ageingTime: 20_000, stp: true, priority: 100 } as object)
  })
  await comesBack(t, red, 'taking out of a bridge', async (tx) => (await tx.links.get('left')).set({ master: null }))
  await comesBack(t, red, 'setting down, which loses routes', async (tx) =>
    (await tx.links.get('right')).set({ up: false }),
  )
  await comesBack(t, red, 'deleting a pair', async (tx) => (await tx.links.get('right')).delete())
  await comesBack(t, red, 'deleting a bridge', async (tx) => tx.links.remove('br0'))
})

t.test('addresses and routes come back', able, async (t) => {
  const red = await lab(t)
  await comesBack(t, red, 'addresses', async (tx) => {
    await tx.addresses.add({ link: 'right', address: '10.0.0.9/24', label: 'right:1' })
    await tx.addresses.replace({ link: 'right', address: '10.0.0.1/24', metric: 50 })
    await tx.addresses.add({ link: 'right', address: 'fd00::2/64', noDad: true })
  })
  await comesBack(t, red, 'an address that takes routes along', async (tx) =>
    tx.addresses.add({ link: 'br0', address: '10.4.0.1/24' }),
  )
  await comesBack(t, red, 'routes', async (tx) => {
    await tx.routes.add({ to: '10.1.0.0/16', via: '10.0.0.253', metric: 8 })
    await tx.routes.replace({ to: '10.1.0.0/16', via: '10.0.0.252', metric: 7 })
    await tx.routes.remove({ to: '10.2.0.0/16', table: 100 })
    await tx.routes.add({ to: '192.0.2.0/24', type: 'blackhole' })
  })
})

t.test('rules and nexthop objects come back', able, async (t) => {
  const red = await lab(t)
  await ipDo(red, 'rule', 'add', 'from', '10.0.0.0/8', 'table', '100', 'priority', '1000')
  await ipDo(red, 'nexthop', 'add', 'id', '5', 'via', '10.0.0.9', 'dev', 'right')
  await comesBack(t, red, 'rules', async (tx) => {
    await tx.rules.add({ to: '10.9.0.0/16', table: 101, priority: 999 })
    await tx.rules.remove({ priority: 1000 })
  })
  await comesBack(t, red, 'nexthop objects', async (tx) => {
    await tx.nexthops.add({ id: 6, via: '10.0.0.8', link: 'right' })
    await tx.nexthops.replace({ id: 5, via: '10.0.0.7', link: 'right' })
    await tx.routes.add({ to: '10.5.0.0/16', nexthopId: 6 })
  })
  await comesBack(t, red, 'a nexthop object that is gone', (tx) => tx.nexthops.remove(5))
})

t.test('neighbors and forwarding databases come back', able, async (t) => {
  const red = await lab(t)
  await ipDo(red, 'neigh', 'add', '10.0.0.7', 'lladdr', '02:00:00:00:00:07', 'dev', 'right')
  await red.exec('bridge', ['fdb', 'add', '02:00:00:00:00:99', 'dev', 'left', 'master', 'static'], { check: true })
  await comesBack(t, red, 'neighbors', async (tx) => {
    await tx.neighbors.add({ address: '10.0.0.8', mac: '02:00:00:00:00:08', link: 'right', state: 'permanent' })
    await tx.neighbors.replace({ address: '10.0.0.7', mac: '02:00:00:00:00:77', link: 'right', state: 'permanent' })
    await tx.neighbors.remove({ address: '10.0.0.8', link: 'right' })
  })
  await comesBack(t, red, 'proxies', (tx) => tx.neighbors.proxies.add({ address: '10.0.0.9', link: 'right' }))
  await comesBack(t, red, 'a forwarding database', async (tx) => {
    const br0 = await tx.links.get('br0')
    await br0.fdb.add({ mac: '02:00:00:00:00:98', port: 'left', state: 'static' })
    await br0.fdb.remove({ mac: '02:00:00:00:00:99', port: 'left' })
  })
})

t.test('the cause comes first', able, async (t) => {
  const red = await lab(t)
  const before = await state(red)
  const failed = red.transaction(async (tx) => {
    await tx.links.add({ kind: 'bridge', name: 'br1' })
    await tx.links.add({ kind: 'bridge', name: 'br0' })
  })
  await t.rejects(failed, { code: 'EEXIST', message: /cannot create the bridge br0/, undoFailure: undefined })
  t.same(await state(red), before)
})

t.test('a failure of the undoing stands beside the cause', able, async (t) => {
  const red = await lab(t)
  const failed = red.transaction(async (tx) => {
    await tx.routes.remove({ to: '10.1.0.0/16' })
    // Behind the transaction's back: the route cannot come back.
    await ipDo(red, 'link', 'delete', 'left')
    explode()
  })
  await t.rejects(failed, { message: 'boom', undoFailure: { code: /^E/, syscall: 'RTM_NEWROUTE' } })
})

t.test('two namespaces', able, async (t) => {
  const [red, box] = [await lab(t), await scratch(t)]
  const before = [await state(red), await state(box)]
  const failed = transaction([red, box], async (txRed, txBox) => {
    await createVeth(
      { name: 'one', namespace: txRed, up: true },
      { name: 'two', namespace: txBox, addresses: ['10.3.0.2/24'] },
    )
    const right = await txRed.links.get('right')
    await right.set({ namespace: txBox })
    await right.set({ up: true })
    explode()
  })
  await t.rejects(failed, { message: 'boom', undoFailure: undefined })
  t.same([await state(red), await state(box)], before)
  const parted = transaction([red], async (tx) => {
    const [one] = await createVeth({ name: 'one', namespace: red }, { name: 'two', namespace: box })
    t.teardown(() => one.delete())
    await tx.links.remove('one')
  })
  await t.rejects(parted, { code: 'EOPNOTSUPP', message: /its other end is in a namespace that is not part of it/ })
  t.ok(await red.links.find('one'), 'nothing was sent')
})

t.test('what could not be undone is refused', await needs('namespaces', 'ip', 'tun'), async (t) => {
  const red = await lab(t)
  await using _ = await openTap({ name: 'tap0', namespace: red })
  await t.rejects(
    red.transaction((tx) => tx.links.remove('tap0')),
    { code: 'EOPNOTSUPP', message: /tap0/ },
  )
  t.ok(await red.links.find('tap0'))
})

t.test('changes of one tick keep their order', able, async (t) => {
  const red = await lab(t)
  await red.transaction(async (tx) => {
    await Promise.all([
      tx.links.add({ kind: 'bridge', name: 'br1', up: true }),
      tx.addresses.add({ link: 'br1', address: '10.6.0.1/24' }),
    ])
    await tx.routes.add({ to: '10.66.0.0/16', via: '10.6.0.2' })
  })
  t.equal((await red.routes.get({ to: '10.66.0.0/16' })).via, '10.6.0.2')
})

t.test('nested: the inner one alone is undone, or all', able, async (t) => {
  const red = await lab(t)
  const before = await state(red)
  await red.transaction(async (tx) => {
    await tx.links.add({ kind: 'bridge', name: 'outer' })
    const inner = tx.transaction(async (deeper) => {
      await deeper.links.add({ kind: 'bridge', name: 'inner' })
      explode()
    })
    await t.rejects(inner, { message: 'boom' })
  })
  t.ok(await red.links.find('outer'))
  t.equal(await red.links.find('inner'), undefined)
  await red.links.remove('outer')
  const both = red.transaction(async (tx) => {
    await tx.transaction((deeper) => deeper.links.add({ kind: 'bridge', name: 'inner' }))
    explode()
  })
  await t.rejects(both, { message: 'boom' })
  t.same(await state(red), before)
})

t.test('a signal', able, async (t) => {
  const red = await lab(t)
  const before = await state(red)
  const reason = new Error('enough')
  const controller = new AbortController()
  const aborted = red.transaction(
    async (tx) => {
      await tx.links.add({ kind: 'bridge', name: 'br1' })
      controller.abort(reason)
      await tx.links.add({ kind: 'bridge', name: 'br2' })
    },
    { signal: controller.signal },
  )
  await t.rejects(aborted, { name: 'AbortError', cause: reason })
  t.same(await state(red), before)
  const late = red.transaction(
    async (tx) => {
      await tx.links.add({ kind: 'bridge', name: 'br1' })
    },
    { signal: controller.signal },
  )
  await t.rejects(late, { name: 'AbortError' })
  t.same(await state(red), before)
})

t.test('a signal ends it whatever the function waits for', able, async (t) => {
  const red = await lab(t)
  const before = await state(red)
  const controller = new AbortController()
  let goOn = () => {}
  let left: Promise<unknown> | undefined
  const aborted = red.transaction(
    (tx) => {
      left = (async () => {
        await tx.links.add({ kind: 'bridge', name: 'br1' })
        controller.abort()
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        await tx.links.add({ kind: 'bridge', name: 'br2' })
      })()
      return left
    },
    { signal: controller.signal },
  )
  await t.rejects(aborted, { name: 'AbortError' })
  t.same(await state(red), before)
  goOn()
  await t.rejects(left as Promise<unknown>, { name: 'AbortError' })
  t.same(await state(red), before)
})

t.test('what goes on beside what failed changes nothing any more', able, async (t) => {
  const red = await lab(t)
  const before = await state(red)
  let left: Promise<unknown> | undefined
  let goOn = () => {}
  const failed = red.transaction(async (tx) => {
    const one = tx.links.add({ kind: 'bridge', name: 'br1' })
    left = one.then(async () => {
      await new Promise<void>((resolve) => {
        goOn = resolve
      })
      await tx.links.add({ kind: 'bridge', name: 'br2' })
    })
    await one
    await Promise.all([left, Promise.reject(new Error('boom'))])
  })
  await t.rejects(failed, { message: 'boom' })
  t.same(await state(red), before)
  goOn()
  await t.rejects(left as Promise<unknown>, { name: 'AbortError', message: /undone/ })
  t.same(await state(red), before)
})

t.test('what the kernel did of a change before it refused the rest', able, async (t) => {
  const red = await lab(t)
  const before = await state(red)
  const refused = async (code: string, change: (tx: Namespace) => Promise<unknown>) => {
    const error = await red.transaction(change).then(
      () => undefined,
      (error: { code: string; undoFailure?: unknown }) => error,
    )
    t.equal(error?.code, code)
    t.equal(error?.undoFailure, undefined)
    t.same(await state(red), before)
  }
  await refused(renamesUp ? 'EEXIST' : 'EBUSY', async (tx) =>
    (await tx.links.get('right')).set({ mtu: 1400, name: 'left' }),
  )
  await refused('EEXIST', (tx) =>
    tx.links.ensure({ kind: 'bridge', name: 'br0', alternativeNames: ['another', 'left'] }),
  )
})

t.test('the namespace of a transaction is only lent', able, async (t) => {
  const red = await lab(t)
  await red.transaction(async (tx) => {
    await tx.close()
    await tx.delete()
    await tx[Symbol.asyncDispose]()
    t.equal(tx.closed, false)
  })
  t.equal(red.closed, false)
  t.ok((await red.links.list()).length > 1)
})

t.test('wrong arguments', able, async (t) => {
  const red = await scratch(t)
  const wrong = { code: 'ERR_INVALID_ARG_TYPE' }
  await t.rejects(red.transaction(undefined as never), wrong)
  await t.rejects(
    transaction(red as never, async () => {}),
    wrong,
  )
  await t.rejects(
    red.transaction(async () => {}, { signal: 1 } as never),
    wrong,
  )
  await t.rejects(
    red.transaction(async () => {}, { time: 1 } as never),
    { code: 'ERR_INVALID_ARG_VALUE' },
  )
  const refused = red.transaction(async (tx) => createLink({ kind: 'nonesuch', namespace: tx }))
  await t.rejects(refused, { code: 'EOPNOTSUPP' })
})

t.test('the details of links', able, async (t) => {
  const red = await scratch(t)
  const [left] = await createVeth(
    { name: 'left', namespace: red, up: true, alternativeNames: ['first-of-several-names'], ipv6Token: '::1' },
    { name: 'right', namespace: red, up: true },
  )
  await left.waitFor({ operationalState: 'up' })
  const details = async () => {
    const { alternativeNames, ipv4, ipv6Token, linkMode, operationalState, flags } = await red.links.get('left')
    return { alternativeNames, ipv4, ipv6Token, linkMode, operationalState, flags }
  }
  const before = await details()
  const failed = red.transaction(async (tx) => {
    const link = await tx.links.get('left')
    await link.addAlternativeName('another')
    await link.removeAlternativeName('first-of-several-names')
    await link.set({ ipv4: { rpFilter: 2, proxyArp: true }, ipv6Token: '::2', addressGeneration: 'none' })
    await link.set({ linkMode: 'dormant', operationalState: 'dormant', dynamic: true, trailers: false })
    t.notSame(await details(), before)
    explode()
  })
  await t.rejects(failed, { message: 'boom', undoFailure: undefined })
  t.same(await details(), before)
  const card = red.transaction(async (tx) => (await tx.links.get('left')).setVirtualFunction(0, { trust: true }))
  await t.rejects(card, { code: 'EOPNOTSUPP', message: /^cannot change the virtual function 0 .*could not be undone/ })
})

t.test('deleting many links', able, async (t) => {
  const red = await scratch(t)
  await createVeth({ name: 'left', namespace: red, group: 5 }, { name: 'right', namespace: red })
  await createBridge({ name: 'br0', namespace: red, mac: '02:00:00:00:00:01' })
  await comesBack(t, red, 'a list', (tx) => tx.links.removeMany(['left', 'br0']))
  await comesBack(t, red, 'a group', (tx) => tx.links.removeMany({ group: 5 }))
})

t.test(
  'traffic control',
  await needs('namespaces', 'qdisc:tbf', 'qdisc:clsact', 'filter:u32', 'kind:ifb'),
  async (t) => {
    const [red, box] = [await scratch(t), await scratch(t)]
    const [old] = await createVeth({ name: 'old', namespace: red }, { name: 'older', namespace: red })
    const limits = { egress: '8mbit', ingress: '4mbit', ingressBy: 'queue' } as const
    const make = async (tx: Namespace, other: Namespace) => {
      const ends = await createVeth({ name: 'left', namespace: tx }, { name: 'right', namespace: other })
      for (const end of ends) t.same(await end.limit(limits), { changed: true })
      return ends
    }
    const before = [await state(red), await state(box)]
    const failed = transaction([red, box], async (tx, other) => {
      await make(tx, other)
      explode()
    })
    await t.rejects(failed, { message: 'boom', undoFailure: undefined })
    t.same([await state(red), await state(box)], before, 'goes with the links that were created')
    const ends = await transaction([red, box], make)
    for (const end of ends) t.match(await end.limits(), { egress: { rate: 8_000_000 }, ingress: { rate: 4_000_000 } })
    const refused = red.transaction(async (tx) => (await tx.links.get(old)).limit({ egress: '1mbit' }))
    await t.rejects(refused, { code: 'EOPNOTSUPP', message: /could not be undone/ }, 'of others it could not be undone')
    t.same(await old.limits(), {})
  },
)
