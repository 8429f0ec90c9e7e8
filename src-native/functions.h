// The functions that addon.cc exports, by the file that holds them. lib/native.ts says what each one does.
#ifndef NETKIT_FUNCTIONS_H_
#define NETKIT_FUNCTIONS_H_

#include <node_api.h>

namespace netkit {

// descriptors.cc
napi_value OwnDescriptor(napi_env env, napi_callback_info info);
napi_value DisownDescriptor(napi_env env, napi_callback_info info);
napi_value CloseDescriptor(napi_env env, napi_callback_info info);
napi_value CloseDescriptorNow(napi_env env, napi_callback_info info);
napi_value OwnedDescriptors(napi_env env, napi_callback_info info);

// socket.cc
napi_value OpenSocket(napi_env env, napi_callback_info info);
napi_value BindSocket(napi_env env, napi_callback_info info);
napi_value ConnectSocket(napi_env env, napi_callback_info info);
napi_value SocketName(napi_env env, napi_callback_info info);
napi_value CreateEventDescriptor(napi_env env, napi_callback_info info);
napi_value ReadEventDescriptor(napi_env env, napi_callback_info info);
napi_value SetSocketOption(napi_env env, napi_callback_info info);
napi_value GetSocketOption(napi_env env, napi_callback_info info);

// handover.cc
napi_value SendDescriptors(napi_env env, napi_callback_info info);
napi_value ReceiveDescriptors(napi_env env, napi_callback_info info);
napi_value DuplicateDescriptor(napi_env env, napi_callback_info info);
napi_value AdoptDescriptor(napi_env env, napi_callback_info info);
napi_value ListenSocket(napi_env env, napi_callback_info info);
napi_value AcceptSocket(napi_env env, napi_callback_info info);
napi_value CreateSocketPair(napi_env env, napi_callback_info info);

// netlink.cc
napi_value Exchange(napi_env env, napi_callback_info info);
napi_value Receive(napi_env env, napi_callback_info info);

// poller.cc
napi_value CreatePoller(napi_env env, napi_callback_info info);

// namespace.cc
napi_value CreateNamespace(napi_env env, napi_callback_info info);
napi_value RunInside(napi_env env, napi_callback_info info);
napi_value NamespaceType(napi_env env, napi_callback_info info);
napi_value NamespaceOwner(napi_env env, napi_callback_info info);

// files.cc
napi_value Mount(napi_env env, napi_callback_info info);
napi_value Unmount(napi_env env, napi_callback_info info);
napi_value LockFile(napi_env env, napi_callback_info info);

// tun.cc
napi_value OpenTun(napi_env env, napi_callback_info info);
napi_value ControlTun(napi_env env, napi_callback_info info);
napi_value IdentifyTun(napi_env env, napi_callback_info info);
napi_value TunNamespace(napi_env env, napi_callback_info info);

// tun_end.cc
napi_value CreateTunEnd(napi_env env, napi_callback_info info);

// macvtap.cc
napi_value OpenMacvtap(napi_env env, napi_callback_info info);
napi_value ProbeTun(napi_env env, napi_callback_info info);

// packet_socket.cc
napi_value CreatePacketEnd(napi_env env, napi_callback_info info);
napi_value PacketDrops(napi_env env, napi_callback_info info);
napi_value LookAgain(napi_env env, napi_callback_info info);
napi_value IsLayer3End(napi_env env, napi_callback_info info);
napi_value ShutPacketEnd(napi_env env, napi_callback_info info);
napi_value SetSocketProgram(napi_env env, napi_callback_info info);

// frames.cc
napi_value ReadFrames(napi_env env, napi_callback_info info);
napi_value WriteFrames(napi_env env, napi_callback_info info);
napi_value WriteBuffers(napi_env env, napi_callback_info info);
napi_value NudgeEnd(napi_env env, napi_callback_info info);
napi_value FlushEnd(napi_env env, napi_callback_info info);
napi_value EndCounters(napi_env env, napi_callback_info info);
napi_value WaitReadable(napi_env env, napi_callback_info info);

// offload.cc
napi_value SegmentRoom(napi_env env, napi_callback_info info);
napi_value SegmentFrame(napi_env env, napi_callback_info info);
napi_value CoalesceFrames(napi_env env, napi_callback_info info);
napi_value InternetSum(napi_env env, napi_callback_info info);
// datagram_end.cc
napi_value CreateDatagramEnd(napi_env env, napi_callback_info info);
napi_value SetDatagramRemote(napi_env env, napi_callback_info info);
napi_value DatagramRemote(napi_env env, napi_callback_info info);
napi_value DatagramSource(napi_env env, napi_callback_info info);
napi_value RefreshDatagram(napi_env env, napi_callback_info info);

// stream_end.cc
napi_value CreateStreamEnd(napi_env env, napi_callback_info info);
napi_value SetStreamDescriptor(napi_env env, napi_callback_info info);
napi_value ReleaseStreamEnd(napi_env env, napi_callback_info info);
napi_value StreamState(napi_env env, napi_callback_info info);

// pair_end.cc
napi_value CreatePairEnds(napi_env env, napi_callback_info info);
napi_value ClosePairEnd(napi_env env, napi_callback_info info);

// bpf.cc
napi_value CheckFilter(napi_env env, napi_callback_info info);
napi_value RunFilter(napi_env env, napi_callback_info info);
// switch_commands.cc
napi_value StartSwitch(napi_env env, napi_callback_info info);
napi_value StopSwitch(napi_env env, napi_callback_info info);
napi_value ReferenceSwitch(napi_env env, napi_callback_info info);
napi_value AddSwitchPort(napi_env env, napi_callback_info info);
napi_value SetSwitchPort(napi_env env, napi_callback_info info);
napi_value RemoveSwitchPort(napi_env env, napi_callback_info info);
napi_value SetSwitchAddress(napi_env env, napi_callback_info info);
napi_value FlushSwitch(napi_env env, napi_callback_info info);
napi_value ListSwitchTable(napi_env env, napi_callback_info info);
napi_value SwitchPortCounters(napi_env env, napi_callback_info info);
// pump_object.cc
napi_value CreatePump(napi_env env, napi_callback_info info);
napi_value RunPump(napi_env env, napi_callback_info info);
napi_value SetPump(napi_env env, napi_callback_info info);
napi_value TeePump(napi_env env, napi_callback_info info);
napi_value StopPump(napi_env env, napi_callback_info info);
napi_value PausePump(napi_env env, napi_callback_info info);
napi_value ReferPump(napi_env env, napi_callback_info info);
napi_value PumpCounters(napi_env env, napi_callback_info info);
napi_value CloseTee(napi_env env, napi_callback_info info);
napi_value CreateTee(napi_env env, napi_callback_info info);

}  // namespace netkit

#endif  // NETKIT_FUNCTIONS_H_
