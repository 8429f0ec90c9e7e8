/** Sockets that live in a namespace: servers, connections, datagrams; their errors, their ends. */
import { Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import t from 'tap'
import { Agent, fetch } from 'undici'
import type { Namespace } from '../dist/namespace/namespace.js'
import { currentNamespace } from '../dist/namespace/open.js'
import { encodeSocketAddress, formatSocketAddress } from '../dist/namespace/sockaddr.js'
import { decodeInt, encodeInt } from '../dist/netlink/bytes.js'
import { parseIp } from '../dist/values/ip.js'
import { eventually, leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { ipDo, joined, scratch } from './support/scratch.js'

const requirements = await needs('namespaces', 'ip')

const portOf = (server: { address(): net.AddressInfo | string | null }) => (server.address() as net.AddressInfo).port

async function read(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

const closeServer = (server: net.Server) => new Promise((resolve) => server.close(resolve))

t.test('socket addresses', async (t) => {
  const ipv4 = encodeSocketAddress({ octets: parseIp('10.0.1.2') as Uint8Array, port: 0x1234, scope: 0 })
  t.equal(Buffer.from(ipv4).toString('hex'), '020012340a00010200000000' + '00000000')
  const ipv6 = encodeSocketAddress({ octets: parseIp('fe80::1') as Uint8Array, port: 80, scope: 3 })
  t.equal(Buffer.from(ipv6).toString('hex'), `0a00005000000000${'fe80'.padEnd(28, '0')}000103000000`)
  t.equal(formatSocketAddress({ octets: parseIp('10.0.1.2') as Uint8Array, port: 1, scope: 0 }), '10.0.1.2:1')
  t.equal(formatSocketAddress({ octets: parseIp('fe80::1') as Uint8Array, port: 1, scope: 3 }), '[fe80::1%3]:1')
  for (const value of [0, 1, -1, 0x7fffffff]) t.equal(decodeInt(encodeInt(value)), value)
})

t.test('a server and a connection in one namespace', requirements, async (t) => {
  const box = await scratch(t)
  const server = await box.listen({ port: 8080 }, (socket) => socket.end(`hello ${socket.remoteAddress}`))
  t.type(server, net.Server)
  t.equal(server.listening, true)
  t.same(server.address(), { address: '::', family: 'IPv6', port: 8080 })
  const { stdout } = await box.exec('ss', ['-Hltn'])
  t.match(stdout, /:8080/, 'it is inside')
  const other = await scratch(t)
  await t.rejects(other.connect({ host: '127.0.0.1', port: 8080 }), { code: 'ECONNREFUSED' }, 'and nowhere else')
  for (const [host, seen] of [
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['::1', '::1'],
    ['localhost', 'ffff:127.0.0.1|::1'],
  ] as const) {
    const socket = await box.connect({ host, port: 8080 })
    t.type(socket, net.Socket)
    t.equal(socket.connecting, false)
    t.equal(socket.remotePort, 8080)
    t.match(await read(socket), new RegExp(`hello .*(${seen})`), host)
  }
  const byDefault = await box.connect({ port: 8080 })
  t.match(await read(byDefault), /hello/, 'localhost by default')
  await closeServer(server)
  await t.rejects(box.connect({ port: 8080 }), { name: 'NetkitError', code: 'ECONNREFUSED', syscall: 'connect' })
})

t.test('between two namespaces', requirements, async (t) => {
  const [left, right] = await joined(t)
  const server = await right.listen({ host: '10.0.1.2', port: 80 }, (socket) => {
    socket.pipe(socket)
  })
  t.teardown(() => closeServer(server))
  const socket = await left.connect({
    host: '10.0.1.2',
    port: 80,
    localAddress: '10.0.1.1',
    localPort: 4000,
    timeout: 5000,
  })
  t.equal(socket.localAddress, '10.0.1.1')
  t.equal(socket.localPort, 4000)
  const words = 'x'.repeat(1_000_000)
  socket.end(words)
  t.equal(await read(socket), words, 'a million bytes there and back')
  await t.rejects(left.connect({ host: '10.0.1.2', port: 81 }), {
    code: 'ECONNREFUSED',
    message: `cannot connect to 10.0.1.2:81 in namespace ${left.inode}: connection refused (ECONNREFUSED, connect)`,
  })
  await t.rejects(left.connect({ host: '192.0.2.1', port: 81 }), { code: 'ENETUNREACH' })
  await t.rejects(left.connect({ host: '10.0.1.2', port: 80, localAddress: '10.0.1.77' }), {
    code: 'EADDRNOTAVAIL',
    syscall: 'bind',
  })
  await t.rejects(left.connect({ host: '10.0.1.99', port: 80, timeout: 200 }), {
    code: 'ETIMEDOUT',
    message: /longer than 200 ms/,
  })
})

t.test('link-local addresses with a zone', requirements, async (t) => {
  const [left, right] = await joined(t)
  await ipDo(right, 'address', 'add', 'fe80::2/64', 'dev', 'right', 'nodad')
  await ipDo(left, 'address', 'add', 'fe80::1/64', 'dev', 'left', 'nodad')
  const server = await right.listen({ host: 'fe80::2%right', port: 80 }, (socket) => socket.end('hello'))
  t.teardown(() => closeServer(server))
  t.equal(await read(await left.connect({ host: 'fe80::2%left', port: 80 })), 'hello')
  const { stdout } = await left.exec('cat', ['/proc/net/if_inet6'])
  const index = Number.parseInt(/^fe80\S* (\S+)/m.exec(stdout)?.[1] ?? '', 16)
  t.equal(await read(await left.connect({ host: `fe80::2%${index}`, port: 80 })), 'hello', 'by the index')
  await t.rejects(left.connect({ host: 'fe80::2%nope', port: 80 }), { code: 'ENODEV', message: /no interface nope/ })
  await t.rejects(left.connect({ host: '10.0.1.2%left', port: 80 }), { code: 'ERR_INVALID_ARG_VALUE' })
})

t.test('options of listen', requirements, async (t) => {
  const box = await scratch(t)
  const first = await box.listen({ host: '127.0.0.1', port: 80 })
  t.same(first.address(), { address: '127.0.0.1', family: 'IPv4', port: 80 })
  const inUse = { name: 'NetkitError', code: 'EADDRINUSE', message: /127\.0\.0\.1:80/ }
  await t.rejects(box.listen({ host: '127.0.0.1', port: 80 }), inUse)
  await t.rejects(box.listen({ host: '10.9.9.9' }), { code: 'EADDRNOTAVAIL', syscall: 'bind' })
  await t.rejects(box.listen({ host: 'netkit.invalid' }), { code: /ENOTFOUND|EAI_AGAIN/, syscall: 'getaddrinfo' })
  const only6 = await box.listen({ host: '::', port: 81, ipv6Only: true })
  await t.rejects(box.connect({ host: '127.0.0.1', port: 81 }), { code: 'ECONNREFUSED' })
  const only4 = await box.listen({ host: '0.0.0.0', port: 81 }, (socket) => socket.end())
  await read(await box.connect({ host: '127.0.0.1', port: 81 }))
  box.sysctl.set('net.ipv6.bindv6only', 1)
  const both = await box.listen({ port: 82 }, (socket) => socket.end())
  await read(await box.connect({ host: '127.0.0.1', port: 82 }))
  t.pass('both families by default, whatever net.ipv6.bindv6only says')
  const backlog = await box.listen({ port: 83, backlog: 7 })
  const { stdout } = await box.exec('ss', ['-Hltn', 'sport = :83'])
  t.match(stdout, /^LISTEN\s+0\s+7\s/)
  for (const server of [first, only6, only4, both, backlog]) await closeServer(server)
  box.sysctl.set('net.ipv6.conf.all.disable_ipv6', 1)
  const free = await box.listen()
  t.ok(portOf(free) > 0, 'a free port by default')
  await closeServer(free)
})

t.test('http', requirements, async (t) => {
  const box = await scratch(t)
  const own = http.createServer((request, response) => response.end(`${request.method} ${request.url}`))
  const server = await box.listen({ port: 80, server: own })
  t.equal(server, own, 'a server of one’s own')
  await t.rejects(box.listen({ server: own }), { code: 'ERR_INVALID_ARG_VALUE', message: /listens already/ })
  t.equal(own.listening, true)

  const createConnection = ((_options: unknown, callback: (error: Error | null, socket?: net.Socket) => void) => {
    box.connect({ port: 80 }).then((socket) => callback(null, socket), callback)
  }) as unknown as () => net.Socket
  const request = http.get({ path: '/one', createConnection })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  t.equal(await read(response as unknown as net.Socket), 'GET /one', 'through http.get')

  const agent = new Agent({
    connect(options, callback) {
      box.connect({ host: options.hostname, port: Number(options.port || 80) }).then(
        (socket) => callback(null, socket),
        (error) => callback(error, null),
      )
    },
  })
  const answer = await fetch('http://127.0.0.1/two', { method: 'POST', body: 'x', dispatcher: agent })
  t.equal(await answer.text(), 'POST /two', 'through fetch')
  await t.rejects(fetch('http://127.0.0.1:81/', { dispatcher: agent }), { cause: { code: 'ECONNREFUSED' } })
  await agent.close()
  await closeServer(own)

  const plain = http.createServer((_request, response) => response.end('emitted'))
  const carrier = await box.listen({ port: 80 }, (socket) => plain.emit('connection', socket))
  const socket = await box.connect({ port: 80 })
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  t.match(await read(socket), /emitted$/, 'a server that is given connections')
  await closeServer(carrier)
})

t.test('datagrams', requirements, async (t) => {
  const [left, right] = await joined(t)
  const receiver = await right.bindDatagram({ type: 'udp4', port: 67, device: 'right' })
  const sender = await left.bindDatagram({
    type: 'udp4',
    address: '10.0.1.1',
    port: 68,
    device: 'left',
    broadcast: true,
  })
  t.type(receiver, DatagramSocket)
  t.same(receiver.address(), { address: '0.0.0.0', family: 'IPv4', port: 67 })
  t.same(sender.address(), { address: '10.0.1.1', family: 'IPv4', port: 68 })
  const got = once(receiver, 'message')
  sender.send('anyone?', 67, '255.255.255.255')
  const [message, from] = await got
  t.equal(String(message), 'anyone?', 'a broadcast goes out of the device')
  t.match(from, { address: '10.0.1.1', port: 68 })
  const reply = once(sender, 'message')
  receiver.send('here', from.port, from.address)
  t.equal(String((await reply)[0]), 'here')
  const inUse = right.bindDatagram({ type: 'udp4', port: 67 })
  await t.rejects(inUse, { name: 'NetkitError', code: 'EADDRINUSE', syscall: 'bind', message: /0\.0\.0\.0:67/ })
  const sharing = right.bindDatagram({ type: 'udp4', port: 67, device: 'right', reuseAddress: true })
  await t.rejects(sharing, { code: 'EADDRINUSE' }, 'nor for one that would share, when the first does not')
  sender.close()
  receiver.close()

  const quiet = await left.bindDatagram({ type: 'udp4' })
  const refusal = new Promise<Error | null>((resolve) => quiet.send('x', 67, '10.0.1.255', resolve))
  t.match(await refusal, { code: 'EACCES' }, 'no broadcasts unless asked for')
  quiet.close()
  const shared = { type: 'udp4', port: 5353, reuseAddress: true } as const
  const [one, two] = [await left.bindDatagram(shared), await left.bindDatagram(shared)]
  one.close()
  two.close()
  const six = await left.bindDatagram({ type: 'udp6', port: 70, ipv6Only: true })
  t.same(six.address(), { address: '::', family: 'IPv6', port: 70 })
  const four = await left.bindDatagram({ type: 'udp4', port: 70 })
  const echo = once(six, 'message')
  const client = await left.bindDatagram({ type: 'udp6', address: '::1' })
  client.send('six', 70, '::1')
  t.equal(String((await echo)[0]), 'six')
  for (const socket of [six, four, client]) socket.close()
  await t.rejects(left.bindDatagram({ type: 'udp4', device: 'nope' }), { code: 'ENODEV', syscall: 'setsockopt' })
  await t.rejects(left.bindDatagram({ type: 'udp4', address: '::1' }), { code: 'ERR_INVALID_ARG_VALUE' })
  await t.rejects(left.bindDatagram({ type: 'udp4', address: '10.9.9.9' }), { code: 'EADDRNOTAVAIL' })
})

t.test('bad input', async (t) => {
  const host = currentNamespace()
  const listen = host.listen.bind(host) as (...args: unknown[]) => Promise<unknown>
  const connect = host.connect.bind(host) as (...args: unknown[]) => Promise<unknown>
  const bind = host.bindDatagram.bind(host) as (...args: unknown[]) => Promise<unknown>
  const cases: [(...args: unknown[]) => Promise<unknown>, unknown, string, RegExp?][] = [
    [listen, null, 'TYPE'],
    [listen, 80, 'TYPE'],
    [listen, { port: '80' }, 'TYPE', /options\.port/],
    [listen, { port: 65536 }, 'RANGE'],
    [listen, { port: -1 }, 'RANGE'],
    [listen, { port: 1.5 }, 'TYPE'],
    [listen, { host: '' }, 'VALUE', /options\.host/],
    [listen, { host: 'a b' }, 'VALUE'],
    [listen, { host: 5 }, 'TYPE'],
    [listen, { backlog: 0 }, 'RANGE'],
    [listen, { ipv6Only: 1 }, 'TYPE'],
    [listen, { reuseAddress: 1 }, 'TYPE'],
    [listen, { signal: {} }, 'TYPE'],
    [listen, { server: {} }, 'TYPE'],
    [listen, { prot: 80 }, 'VALUE', /did you mean 'port'/],
    [connect, undefined, 'TYPE'],
    [connect, {}, 'TYPE', /options\.port/],
    [connect, { port: 70000 }, 'RANGE'],
    [connect, { port: 1, host: 'a/b' }, 'VALUE'],
    [connect, { port: 1, family: 5 }, 'TYPE', /options\.family must be 4 or 6/],
    [connect, { port: 1, family: '4' }, 'TYPE'],
    [connect, { port: 1, family: 4, host: '::1' }, 'VALUE', /options\.host '::1': is not an IPv4 address/],
    [connect, { port: 1, family: 6, host: '127.0.0.1' }, 'VALUE', /is not an IPv6 address/],
    [connect, { port: 1, host: 'fe80::1%0' }, 'VALUE', /from 1 to 4294967295/],
    [connect, { port: 1, host: 'fe80::1%4294967297' }, 'VALUE'],
    [
      connect,
      { port: 1, localAddress: 'localhost' },
      'VALUE',
      /options\.localAddress 'localhost': is not an IP address/,
    ],
    [connect, { port: 1, localPort: -1 }, 'RANGE'],
    [connect, { port: 1, localAddress: 5 }, 'TYPE'],
    [connect, { port: 1, timeout: 0 }, 'RANGE'],
    [connect, { port: 1, allowHalfOpen: 0 }, 'TYPE'],
    [connect, { port: 1, hots: 'x' }, 'VALUE', /did you mean 'host'/],
    [bind, {}, 'TYPE', /options\.type/],
    [bind, { type: 'udp5' }, 'VALUE'],
    [bind, { type: 'udp4', port: 1e9 }, 'RANGE'],
    [bind, { type: 'udp4', device: '' }, 'VALUE'],
    [bind, { type: 'udp4', device: 'x'.repeat(16) }, 'VALUE', /1 to 15 bytes/],
    [bind, { type: 'udp4', device: 'a/b' }, 'VALUE'],
    [bind, { type: 'udp4', broadcast: 1 }, 'TYPE'],
    [bind, { type: 'udp4', adress: 'x' }, 'VALUE'],
  ]
  const codes: Record<string, string> = {
    TYPE: 'ERR_INVALID_ARG_TYPE',
    VALUE: 'ERR_INVALID_ARG_VALUE',
    RANGE: 'ERR_OUT_OF_RANGE',
  }
  await leavesNoDescriptor(t, 'bad input', async () => {
    for (const [fn, options, kind, message = /./] of cases) {
      await t.rejects(fn(options), { code: codes[kind], message }, `${fn.name} ${JSON.stringify(options)}`)
    }
    await t.rejects(listen({}, 'x'), { code: 'ERR_INVALID_ARG_TYPE', message: /listener/ })
  })
})

t.test('signals', requirements, async (t) => {
  const box = await scratch(t)
  const aborted = { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'enough' } }
  const gone = AbortSignal.abort(new Error('enough'))
  await leavesNoDescriptor(t, 'a signal', async () => {
    await t.rejects(box.listen({ signal: gone }), aborted)
    await t.rejects(box.connect({ port: 1, signal: gone }), aborted)
    await t.rejects(box.bindDatagram({ type: 'udp4', signal: gone }), aborted)

    // While it is being made.
    for (const start of [
      (signal: AbortSignal) => box.listen({ signal }),
      (signal: AbortSignal) => box.connect({ port: 1, signal }),
      (signal: AbortSignal) => box.bindDatagram({ type: 'udp4', signal }),
    ]) {
      const controller = new AbortController()
      const pending: Promise<unknown> = start(controller.signal)
      controller.abort(new Error('enough'))
      await t.rejects(pending, aborted)
    }

    // When it is made.
    const controller = new AbortController()
    const { signal } = controller
    const server = await box.listen({ signal })
    const accepted = once(server, 'connection')
    const socket = await box.connect({ port: portOf(server), signal })
    const datagram = await box.bindDatagram({ type: 'udp4', signal })
    const [other] = (await accepted) as [net.Socket]
    const ends = Promise.all([
      once(server, 'close'),
      once(socket, 'error').catch((error) => [error]),
      once(datagram, 'close'),
    ])
    other.resume()
    controller.abort(new Error('enough'))
    const [, [error]] = await ends
    t.match(error, { name: 'AbortError' }, 'the socket is destroyed with an AbortError')
    t.equal(server.listening, false)
    other.destroy()
  })
})

t.test("an end between listen() and 'listening'", requirements, async (t) => {
  const box = await scratch(t)
  const events = ['listening', 'error', 'close'] as const
  const ends: [string, (server: net.Server, controller: AbortController) => void][] = [
    ['the server is closed', (server) => server.close()],
    ['the signal fires', (_server, controller) => controller.abort(new Error('enough'))],
    ['the namespace is closed', () => void box.close()],
  ]
  await leavesNoDescriptor(t, 'an end', async () => {
    for (const [words, end] of ends) {
      const server = new net.Server()
      const controller = new AbortController()
      server.listen = (...args: unknown[]) => {
        Reflect.apply(net.Server.prototype.listen, server, args)
        end(server, controller)
        return server
      }
      const listening = box.listen({ server, signal: controller.signal })
      await t.rejects(listening, { name: 'AbortError', message: /^listening on port 0 in .* was aborted/ }, words)
      // Node's own listener of 'close' goes with that event.
      t.ok(
        await eventually(() => events.every((event) => server.listenerCount(event) === 0)),
        `${words}: no listener is left`,
      )
    }
  })
})

/** A namespace in which connecting to 192.0.2.2 never comes to an end. */
async function silent(t: Parameters<typeof scratch>[0]): Promise<Namespace> {
  const box = await scratch(t)
  await ipDo(box, 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two')
  await ipDo(box, 'link', 'set', 'one', 'up')
  await ipDo(box, 'link', 'set', 'two', 'up')
  await ipDo(box, 'address', 'add', '192.0.2.1/24', 'dev', 'one')
  await ipDo(box, 'neighbor', 'add', '192.0.2.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'one')
  return box
}

t.test('an end in the middle of connecting', requirements, async (t) => {
  const box = await silent(t)
  const target = { host: '192.0.2.2', port: 80 }
  await leavesNoDescriptor(t, 'an end in the middle', async () => {
    const connecting = (namespace: Namespace) =>
      eventually(async () => (await namespace.exec('ss', ['-Htn', 'state', 'syn-sent'])).stdout !== '')
    const controller = new AbortController()
    const aborted = box.connect({ ...target, signal: controller.signal })
    aborted.catch(() => {})
    t.ok(await connecting(box), 'the kernel is trying')
    controller.abort(new Error('enough'))
    await t.rejects(aborted, { name: 'AbortError', cause: { message: 'enough' } })

    await t.rejects(box.connect({ ...target, timeout: 100 }), { code: 'ETIMEDOUT', message: /longer than 100 ms/ })

    const many = Array.from({ length: 20 }, () => box.connect(target))
    const settled = Promise.allSettled(many)
    t.ok(await connecting(box))
    const server = await box.listen()
    await box.close()
    for (const result of await settled) {
      t.match(result, { status: 'rejected', reason: { name: 'AbortError', message: /was closed/ } })
    }
    t.equal(server.listening, true, 'a server that was there goes on')
    await closeServer(server)
  })
})

t.test('closing the namespace while sockets are being opened', requirements, async (t) => {
  await leavesNoDescriptor(t, 'closing at once', async () => {
    for (let i = 0; i < 20; i++) {
      const box = await scratch(t, { loopback: false })
      const pending: Promise<unknown>[] = [
        box.listen(),
        box.connect({ host: '127.0.0.1', port: 1 }),
        box.connect({ host: 'localhost', port: 1 }),
        box.bindDatagram({ type: 'udp6' }),
      ]
      const settled = Promise.allSettled(pending)
      await box.close()
      for (const result of await settled) t.match(result, { status: 'rejected', reason: { name: 'AbortError' } })
    }
  })
})

t.test('failures leave no descriptor', requirements, async (t) => {
  const box = await scratch(t)
  const server = await box.listen({ host: '127.0.0.1', port: 80 })
  await leavesNoDescriptor(t, 'failing', async () => {
    for (let i = 0; i < 50; i++) {
      await Promise.allSettled([
        box.listen({ host: '127.0.0.1', port: 80 }),
        box.listen({ host: '127.0.0.1', port: 80, reuseAddress: false }),
        box.listen({ host: '10.9.9.9' }),
        box.connect({ host: '127.0.0.1', port: 81 }),
        box.connect({ host: 'localhost', port: 81 }),
        box.connect({ host: '10.9.9.9', port: 81 }),
        box.connect({ host: '127.0.0.1', port: 80, localAddress: '10.9.9.9' }),
        box.bindDatagram({ type: 'udp4', address: '10.9.9.9' }),
        box.bindDatagram({ type: 'udp4', device: 'nope' }),
      ])
    }
  })
  await closeServer(server)
})

t.test('all addresses of a name are tried', requirements, async (t) => {
  const box = await scratch(t)
  const server = await box.listen({ host: '127.0.0.1', port: 80 }, (socket) => socket.end('four'))
  const socket = await box.connect({ host: 'localhost', port: 80 })
  t.equal(await read(socket), 'four', 'whichever of 127.0.0.1 and ::1 comes first')
  await closeServer(server)
  const error = await box.connect({ host: 'localhost', port: 80 }).catch((cause) => cause)
  t.match(error, { name: 'NetkitError', code: 'ECONNREFUSED' })
  const four = await box.connect({ host: 'localhost', port: 80, family: 4 }).catch((cause) => cause)
  t.match(four, { code: 'ECONNREFUSED', message: /127\.0\.0\.1:80/ })
  await t.rejects(box.connect({ host: 'netkit.invalid', port: 80 }), { code: /ENOTFOUND|EAI_AGAIN/ })
})
