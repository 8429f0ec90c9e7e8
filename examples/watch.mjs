// A namespace is watched while its links come and go; a store keeps a live picture of it.
//
// Run as root, or as an ordinary user:
//   unshare --user --map-root-user --net node examples/watch.mjs
import { createNamespace, createVeth } from 'netkit'

const box = await createNamespace()
try {
  const store = await box.store()
  const watch = box.watch({ links: true, addresses: true, routes: true })
  await watch.ready

  const [eth0] = await createVeth(
    { name: 'eth0', namespace: box, addresses: ['10.0.6.1/24'], up: true },
    { name: 'eth1', namespace: box, up: true },
  )
  await eth0.waitFor({ running: true })
  await box.routes.add({ to: '10.1.0.0/16', via: '10.0.6.254' })
  await store.waitFor(({ routes }) => routes.find(({ to }) => to === '10.1.0.0/16') !== undefined)
  console.log(`The store knows ${store.links.size} links, and that eth0 is ${store.link('eth0')?.operationalState}.`)

  await eth0.delete()
  for await (const event of watch) {
    if (event.type === 'changed' || event.type === 'resync') continue
    if (event.object === 'route' && event.route.family === 'inet' && event.route.table === 'main') {
      console.log(`${event.type} route to ${event.route.to}`)
      // The kernel says nothing of this one: it went with its link.
      if (event.type === 'removed' && event.route.to === '10.1.0.0/16') break
    }
    if (event.object === 'link') console.log(`${event.type} link ${event.link.name}`)
  }
} finally {
  await box.delete()
}
