/** Scene 1: two namespaces, and a veth pair between them, which is a cable with a plug at each end. */
import { createVeth } from 'netkit'
import { countingFrames, host, type Scene, type Stage } from './scenes.js'
import { heading, step } from './terminal.js'

export async function vethScene(stage: Stage): Promise<Scene> {
  const { lifetime, attempts } = stage
  const title = 'Two namespaces joined by a veth pair'
  heading(`1. ${title}`)

  const [net0, net1] = await step('createNamespace: net0 and net1', async () => [
    await host(stage, 'net0', '10.0.1.1'),
    await host(stage, 'net1', '10.0.1.2'),
  ])
  lifetime.check()

  await step(
    'without a cable, net0 does not reach net1',
    async () => {
      const { times, reason } = await net0.reach(net1.address, 1, lifetime.signal)
      if (times.length > 0) throw new Error('net0 got a reply, from wherever')
      return reason
    },
    (reason) => `${reason}`,
  )

  const [veth0, veth1] = await step('createVeth: veth0 in net0, veth1 in net1, with addresses, up', () =>
    createVeth(
      { name: 'veth0', namespace: net0.namespace, addresses: ['10.0.1.1/24'], up: true },
      { name: 'veth1', namespace: net1.namespace, addresses: ['10.0.1.2/24'], up: true },
    ),
  )
  await step('both ends have a carrier', () =>
    Promise.all([veth0, veth1].map((link) => link.waitFor({ running: true }, { signal: lifetime.signal }))),
  )

  await countingFrames([veth0, veth1], () => attempts.within({ title, short: '1 veth', members: [net0, net1] }))
  return { title, places: [net0, net1] }
}
