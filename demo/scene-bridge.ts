/** Scene 2: three namespaces, each with a cable to a bridge, which is a switch in the kernel. */
import { createBridge, createVeth } from 'netkit'
import { countingFrames, host, type Scene, type Stage } from './scenes.js'
import { heading, step } from './terminal.js'

export async function bridgeScene(stage: Stage): Promise<Scene> {
  const { lifetime, attempts } = stage
  const title = 'Three namespaces joined by a bridge'
  heading(`2. ${title}`)

  const members = await step('createNamespace: net0, net1 and net2', async () => [
    await host(stage, 'net0', '10.0.2.1'),
    await host(stage, 'net1', '10.0.2.2'),
    await host(stage, 'net2', '10.0.2.3'),
  ])
  // The bridge has a namespace of its own, so that nothing appears in yours.
  const switchboard = await step('createNamespace: switch', () => lifetime.namespace('switch'))
  const br0 = await step('createBridge: br0 in switch, up', () =>
    createBridge({ name: 'br0', namespace: switchboard, up: true }),
  )

  const ports = await step('createVeth: from each namespace to a port of br0', () =>
    Promise.all(
      members.map(async ({ namespace, address }, i) => {
        const [, port] = await createVeth(
          { name: `veth${i}`, namespace, addresses: [`${address}/24`], up: true },
          { name: `port${i}`, namespace: switchboard, master: br0, up: true },
        )
        return port
      }),
    ),
  )
  await step('the ports forward', async () => {
    await Promise.all(ports.map((port) => port.waitFor({ operationalState: 'up' }, { signal: lifetime.signal })))
    await br0.waitFor({ running: true }, { signal: lifetime.signal })
  })

  await countingFrames(ports, () => attempts.within({ title, short: '2 bridge', members }))
  return { title, places: [...members, { label: 'switch', namespace: switchboard }] }
}
