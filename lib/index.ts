/** What netkit offers. */
// Its types alone would not load it.
import './rtnetlink/traffic/limit.js'

export { Capture, type CaptureStats, capture } from './capture/capture.js'
export type { CaptureOptions } from './capture/capture-options.js'
export { type EncoderOptions, PcapngEncoder } from './capture/encoder.js'
export type { CaptureRotation } from './capture/file-output.js'
export { CaptureError } from './capture/invalid.js'
export { type CaptureReaderOptions, PcapngReader, pcapngReader, readCapture } from './capture/reader.js'
export type {
  CapturedInterface,
  CapturedPacket,
  CaptureFrame,
  CaptureInterface,
  CaptureSection,
  CaptureStatistics,
  FrameDirection,
  LinkType,
} from './capture/types.js'
export { PcapngWriter, type PcapngWriterOptions, pcapngWriter } from './capture/writer.js'
export { AbortError, NetkitError } from './errors.js'
export type { ConnectOptions } from './namespace/connect.js'
export type { DatagramOptions } from './namespace/datagram.js'
export type { ListenOptions } from './namespace/listen.js'
export { Namespace } from './namespace/namespace.js'
export {
  type CreateNamespaceOptions,
  createNamespace,
  currentNamespace,
  type ListNamespacesOptions,
  listNamespaces,
  type NamespaceInfo,
  type NamespaceTarget,
  openNamespace,
} from './namespace/open.js'
export { type ProcessNamespace, type ProcessNamespaces, processNamespaces } from './namespace/processes.js'
export { ExecError, type ExecOptions, type ExecResult } from './namespace/programs.js'
export type { Sysctl } from './namespace/sysctl.js'
export type { TracedEnd, TracedReply, TracedRequest } from './netlink/trace.js'
export type { MessageWords } from './netlink/words.js'
export type { FrameBatch } from './packets/batch.js'
export type { BatchIterator, BatchOptions } from './packets/batch-iterator.js'
export type { BatchListener } from './packets/batch-readers.js'
export {
  type ChannelType,
  type ConnectChannelOptions,
  connectDescriptorChannel,
  createDescriptorChannels,
  DescriptorChannel,
  DescriptorListener,
  type ListenChannelOptions,
  listenDescriptorChannel,
  openDescriptorChannel,
  type ReceiveOptions,
  type Sendable,
  type SendOptions,
} from './packets/descriptor-channel.js'
export type { PacketStats } from './packets/device.js'
export { PacketEnd } from './packets/end.js'
export type { BytesCondition, PacketCondition } from './packets/filter/conditions.js'
export type { FilterInstruction } from './packets/filter/instructions.js'
export type { IpConditions, PortCondition } from './packets/filter/ip-conditions.js'
export { PacketFilter, type PacketFilterInput, type PacketFilterOptions, packetFilter } from './packets/filter.js'
export type { FrameIterator } from './packets/frame-iterator.js'
export { type DescriptorSocket, receiveDescriptors, sendDescriptors } from './packets/handover.js'
export {
  type CoalesceFramesOptions,
  coalesceFrames,
  internetChecksum,
  type SegmentFrameOptions,
  segmentFrame,
} from './packets/offload.js'
export {
  createOffloadFrame,
  type OffloadFields,
  type OffloadFrame,
  type OffloadHeader,
  type Segmentation,
} from './packets/offload-header.js'
export type { ReceivedDescriptors } from './packets/received.js'
export { createSocketPair, type PeerCredentials, type SocketPairOptions, type UnixType } from './packets/unix.js'
export type { DescriptorStats } from './packets/unix-socket.js'
export { macNumber } from './packets/views/bytes.js'
export { fillTransportChecksum, isTransportChecksumRight } from './packets/views/checksum.js'
export { arp, ethernet, vlan } from './packets/views/ethernet.js'
export { ipVersion, ipv4, ipv6 } from './packets/views/ip.js'
export { icmp, tcp, udp } from './packets/views/transport.js'
export type { FlowOptions, PumpDirection, PumpOptions, PumpSettings } from './pump/options.js'
export { type FlowStats, Pump, type PumpEnd, startPump, type TeeSource } from './pump/pump.js'
export { createSwitch, Switch, type SwitchAddress, type SwitchEnd, type SwitchOptions } from './pump/switch.js'
export { SwitchPort, type SwitchPortEnd, type SwitchPortOptions, type SwitchPortStats } from './pump/switch-port.js'
export { createTee, Tee, type TeeOptions } from './pump/tee.js'
export type { Address, AddressFlag } from './rtnetlink/address.js'
export type { AddressFilter, AddressTraits } from './rtnetlink/address-filter.js'
export type { AddressInput, AddressOptions, AddressProtocol, ScopeName } from './rtnetlink/address-options.js'
export { Addresses, type EnsuredAddress, type NewAddress } from './rtnetlink/addresses.js'
export {
  type BridgeVlan,
  type BridgeVlanFilter,
  BridgeVlanGlobalOptions,
  type BridgeVlanGlobals,
  type BridgeVlanOptions,
  type EnsuredBridgeVlans,
  LinkVlans,
  type NewBridgeVlan,
  type VlanRange,
} from './rtnetlink/bridge-vlans.js'
export {
  createBridge,
  createLink,
  type NewBridge,
  type NewLinkOfKind,
  type NewRawLink,
} from './rtnetlink/create-link.js'
export { createNetkit, createVxcan } from './rtnetlink/create-netkit.js'
export { createVeth } from './rtnetlink/create-veth.js'
export type { Ipv4Parameters, Ipv6Parameters } from './rtnetlink/device-configuration.js'
export { type DryRequest, type DryRun, dryRun } from './rtnetlink/dry-run.js'
export type {
  Encapsulation,
  EncapsulationRow,
  MplsEncapsulation,
  RawEncapsulation,
  Seg6Encapsulation,
  Seg6LocalEncapsulation,
  SegmentCounters,
  TunnelEncapsulation,
  XfrmEncapsulation,
} from './rtnetlink/encapsulation.js'
export {
  type EnsuredFdbEntry,
  Fdb,
  type FdbEntry,
  type FdbFilter,
  type FdbMatch,
  type FdbState,
  LinkFdb,
  type NamespaceFdbFilter,
  type NewFdbEntry,
} from './rtnetlink/fdb.js'
export type { BondOptions, BondState } from './rtnetlink/kinds/bond.js'
export type { BondPortOptions, BondPortState } from './rtnetlink/kinds/bond-port.js'
export type {
  BridgeBooleans,
  BridgeOptions,
  BridgeState,
} from './rtnetlink/kinds/bridge.js'
export type { BridgePortOptions, BridgePortState } from './rtnetlink/kinds/bridge-port.js'
export type { ErspanOptions } from './rtnetlink/kinds/erspan.js'
export type { GeneveOptions } from './rtnetlink/kinds/geneve.js'
export type { ErspanHeaderOptions, GreOptions, GreState, Ip6GreOptions } from './rtnetlink/kinds/gre-attributes.js'
export type { HsrOptions, HsrState } from './rtnetlink/kinds/hsr.js'
export type { Ip6ErspanOptions } from './rtnetlink/kinds/ip6erspan.js'
export type { Ip6TunnelOptions } from './rtnetlink/kinds/ip6tnl.js'
export type { IpipOptions } from './rtnetlink/kinds/ipip.js'
export type { IpvlanOptions } from './rtnetlink/kinds/ipvlan.js'
export type { MacvlanOptions, MacvlanState } from './rtnetlink/kinds/macvlan.js'
export type { NetkitOptions, NetkitState } from './rtnetlink/kinds/netkit.js'
export type {
  LinkKindNeeds,
  LinkKindStates,
  LinkKinds,
  PortKindStates,
  PortKinds,
} from './rtnetlink/kinds/registry.js'
export type { SitOptions } from './rtnetlink/kinds/sit.js'
export type { EncapsulationOptions, Ipv4TunnelOptions, Ipv6TunnelOptions } from './rtnetlink/kinds/tunnel-attributes.js'
export type { PortRange } from './rtnetlink/kinds/udp-tunnel-attributes.js'
export type { VlanOptions } from './rtnetlink/kinds/vlan.js'
export type { VrfOptions, VrfPortState } from './rtnetlink/kinds/vrf.js'
export type { VtiOptions, VtiState } from './rtnetlink/kinds/vti-attributes.js'
export type { VxlanOptions, VxlanState } from './rtnetlink/kinds/vxlan.js'
export type { XfrmOptions } from './rtnetlink/kinds/xfrm.js'
export {
  Link,
  type LinkFlag,
  type OptionsOf,
  type WritableOptionsOf,
} from './rtnetlink/link.js'
export type {
  LinkAttributes,
  LinkMode,
  LinkStatistics,
} from './rtnetlink/link-attributes.js'
export type { LinkDetails } from './rtnetlink/link-details.js'
export type { LinkChanges, LinkReference, LinkSettings, NewLink } from './rtnetlink/link-options.js'
export type { LinkCondition, OperationalState, WaitOptions } from './rtnetlink/link-wait.js'
export { type EnsuredLink, type LinkFilter, type LinkReading, Links } from './rtnetlink/links.js'
export {
  type EnsuredMdbEntry,
  LinkMdb,
  type MdbEntry,
  type MdbFilter,
  type MdbMatch,
  type MdbRouter,
  type NewMdbEntry,
} from './rtnetlink/mdb.js'
export {
  type EnsuredNamespaceId,
  type NamespaceId,
  type NamespaceIdFilter,
  NamespaceIds,
  type NamespaceReference,
} from './rtnetlink/namespace-ids.js'
export type { Neighbor, NeighborFlag, NeighborState } from './rtnetlink/neighbor.js'
export { type EnsuredProxy, NeighborProxies, type NewProxy, type ProxyMatch } from './rtnetlink/neighbor-proxies.js'
export type { NeighborParameters, NeighborTable } from './rtnetlink/neighbor-table.js'
export { type NeighborTableChanges, type NeighborTableFilter, NeighborTables } from './rtnetlink/neighbor-tables.js'
export {
  type EnsuredNeighbor,
  type NeighborFilter,
  type NeighborMatch,
  Neighbors,
  type NewNeighbor,
} from './rtnetlink/neighbors.js'
export type { NexthopBucket, NexthopMember, NexthopObject } from './rtnetlink/nexthop.js'
export { type EnsuredNexthop, type NewNexthopObject, type NexthopFilter, Nexthops } from './rtnetlink/nexthops.js'
export type { PortOptions, PortState } from './rtnetlink/port-options.js'
export type { LinksToRemove } from './rtnetlink/remove-links.js'
export type { Nexthop, NexthopFlag, Route, RouteMetrics } from './rtnetlink/route.js'
export {
  type EnsuredRoute,
  type LookedUpRoute,
  type LookupOptions,
  type NewNexthop,
  type NewRoute,
  type RouteFilter,
  type RouteMatch,
  Routes,
} from './rtnetlink/routes.js'
export type { Range, Rule } from './rtnetlink/rule.js'
export { type EnsuredRule, type NewRule, type RuleMatch, Rules } from './rtnetlink/rules.js'
export { InterruptedDumpError, type ManyOptions } from './rtnetlink/talk.js'
export type {
  Action,
  ActionExtras,
  ActionKinds,
  ActionOptionsOf,
  NewAction,
  NewActionOfKind,
  NewRawAction,
  Verdict,
} from './rtnetlink/traffic/action.js'
export type { GactOptions } from './rtnetlink/traffic/actions/gact.js'
export type { MirredOptions } from './rtnetlink/traffic/actions/mirred.js'
export type { PoliceOptions } from './rtnetlink/traffic/actions/police.js'
export type { SkbeditOptions } from './rtnetlink/traffic/actions/skbedit.js'
export type { VlanActionOptions } from './rtnetlink/traffic/actions/vlan.js'
export type {
  ClassKinds,
  ClassOptionsOf,
  ClassPlace,
  NewClassOfKind,
  NewRawClass,
  TrafficClass,
} from './rtnetlink/traffic/class.js'
export { type ClassFilter, type EnsuredClass, LinkClasses } from './rtnetlink/traffic/classes.js'
export type {
  FilterKinds,
  FilterOptionsOf,
  FilterPlace,
  NewFilterOfKind,
  NewRawFilter,
  TrafficFilter,
} from './rtnetlink/traffic/filter.js'
export type { FilterMatch } from './rtnetlink/traffic/filter-options.js'
export type { FlowerOptions, Masked } from './rtnetlink/traffic/filters/flower.js'
export type { BasicOptions, BpfOptions, FwOptions } from './rtnetlink/traffic/filters/simple.js'
export type { U32Key, U32Match, U32Options } from './rtnetlink/traffic/filters/u32.js'
export { type EnsuredFilter, type FilterChain, type FilterFilter, LinkFilters } from './rtnetlink/traffic/filters.js'
export type { CurrentLimits, Limit, LinkLimits } from './rtnetlink/traffic/limit.js'
export type {
  NewQdiscOfKind,
  NewRawQdisc,
  Qdisc,
  QdiscKinds,
  QdiscOptionsOf,
  QdiscPlace,
} from './rtnetlink/traffic/qdisc.js'
export type { CodelOptions, FqCodelOptions, FqOptions, SfqOptions } from './rtnetlink/traffic/qdiscs/fair.js'
export type { FifoOptions, PrioOptions } from './rtnetlink/traffic/qdiscs/fifo.js'
export type { HtbClassOptions, HtbOptions } from './rtnetlink/traffic/qdiscs/htb.js'
export type { Chance, LossGilbert, LossStates, NetemOptions } from './rtnetlink/traffic/qdiscs/netem.js'
export type { TbfOptions } from './rtnetlink/traffic/qdiscs/tbf.js'
export { type EnsuredQdisc, LinkQdiscs, type QdiscFilter, type QdiscMatch, Qdiscs } from './rtnetlink/traffic/qdiscs.js'
export type { TrafficStatistics } from './rtnetlink/traffic/statistics.js'
export type { Rate } from './rtnetlink/traffic/units.js'
export { type TransactionOptions, transaction } from './rtnetlink/transaction/transaction.js'
export type { VirtualFunction, VirtualFunctionSettings } from './rtnetlink/virtual-functions.js'
export type { NetworkEvent, ObjectEvent, ObjectName, WatchedObjects } from './rtnetlink/watch/events.js'
export { Store, type StoreOptions, StoreRows } from './rtnetlink/watch/store.js'
export { Watch, type WatchOptions, type WatchSelection } from './rtnetlink/watch/watch.js'
export type { XdpDetachOptions, XdpMode, XdpOptions, XdpState } from './rtnetlink/xdp.js'
export { DatagramBatch, type DatagramBatchOptions, openDatagramBatch } from './sockets/datagram-batch.js'
export type { Endpoint } from './sockets/endpoint.js'
export type {
  FanoutOptions,
  FilterCode,
  FilterProgram,
  PacketSocketOptions,
  RingOptions,
} from './sockets/packet-options.js'
export { openPacketSocket, PacketSocket } from './sockets/packet-socket.js'
export { createEndPair, type EndPairOptions, PairEnd } from './sockets/pair.js'
export { openQemuDatagram, QemuDatagram, type QemuDatagramOptions } from './sockets/qemu-datagram.js'
export { type QemuServerOptions, QemuStreamServer, serveQemuStream } from './sockets/qemu-server.js'
export { openQemuStream, QemuStream, type QemuStreamOptions } from './sockets/qemu-stream.js'
export type { SocketEndOptions } from './sockets/setup.js'
export { type AdoptOptions, adoptTap, adoptTun } from './tuntap/adopt.js'
export type { TunInterface } from './tuntap/interface.js'
export {
  type ExistingMacvtap,
  Macvtap,
  type MacvtapOptions,
  type MacvtapSettings,
  type NewMacvtap,
  openMacvtap,
} from './tuntap/macvtap.js'
export type { TunQueue } from './tuntap/queue.js'
export { openTap, Tap, type TapOptions } from './tuntap/tap.js'
export { openTun, Tun, type TunOptions } from './tuntap/tun.js'
