// A web server in one namespace, and fetch in another.
//
// Needs the package undici, whose Agent takes a function that makes its connections. Run as root, or as an ordinary user:
//   unshare --user --map-root-user --net node examples/web-server-and-fetch.mjs
import { createServer } from 'node:http'
import { createNamespace, createVeth } from 'netkit'
import { Agent, fetch } from 'undici'

/** An agent whose connections begin in a namespace. @param {import('netkit').Namespace} namespace */
function agentIn(namespace) {
  return new Agent({
    connect({ hostname, port }, callback) {
      namespace.connect({ host: hostname, port: Number(port || 80) }).then(
        (socket) => callback(null, socket),
        (error) => callback(error, null),
      )
    },
  })
}

const [red, blue, lonely] = await Promise.all([createNamespace(), createNamespace(), createNamespace()])
try {
  await createVeth(
    { name: 'eth0', namespace: red, addresses: ['10.0.5.1/24'], up: true },
    { name: 'eth0', namespace: blue, addresses: ['10.0.5.2/24'], up: true },
  )
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ path: request.url, client: request.socket.remoteAddress }))
  })
  await red.listen({ server, host: '10.0.5.1', port: 80 })

  const dispatcher = agentIn(blue)
  const response = await fetch('http://10.0.5.1/hello', { dispatcher })
  console.log('from blue:', response.status, await response.json())
  await dispatcher.close()

  // A namespace without a cable to the server has no way there.
  const { cause } = await fetch('http://10.0.5.1/hello', { dispatcher: agentIn(lonely) }).catch((error) => error)
  console.log('from lonely:', cause.code)

  server.close()
} finally {
  await Promise.all([red.delete(), blue.delete(), lonely.delete()])
}
