#include <napi.h>

#include "environment.h"
#include "functions.h"

namespace {

struct Export {
  const char* name;
  napi_callback function;
};

constexpr Export kExports[] = {
    {"ownDescriptor", netkit::OwnDescriptor},
    {"disownDescriptor", netkit::DisownDescriptor},
    {"closeDescriptor", netkit::CloseDescriptor},
    {"closeDescriptorNow", netkit::CloseDescriptorNow},
    {"ownedDescriptors", netkit::OwnedDescriptors},
    {"openSocket", netkit::OpenSocket},
    {"bindSocket", netkit::BindSocket},
    {"connectSocket", netkit::ConnectSocket},
    {"socketName", netkit::SocketName},
    {"createEventDescriptor", netkit::CreateEventDescriptor},
    {"readEventDescriptor", netkit::ReadEventDescriptor},
    {"setSocketOption", netkit::SetSocketOption},
    {"getSocketOption", netkit::GetSocketOption},
    {"sendDescriptors", netkit::SendDescriptors},
    {"receiveDescriptors", netkit::ReceiveDescriptors},
    {"duplicateDescriptor", netkit::DuplicateDescriptor},
    {"adoptDescriptor", netkit::AdoptDescriptor},
    {"listenSocket", netkit::ListenSocket},
    {"acceptSocket", netkit::AcceptSocket},
    {"createSocketPair", netkit::CreateSocketPair},
    {"exchange", netkit::Exchange},
    {"receive", netkit::Receive},
    {"createPoller", netkit::CreatePoller},
    {"createNamespace", netkit::CreateNamespace},
    {"runInside", netkit::RunInside},
    {"namespaceType", netkit::NamespaceType},
    {"namespaceOwner", netkit::NamespaceOwner},
    {"mount", netkit::Mount},
    {"unmount", netkit::Unmount},
    {"lockFile", netkit::LockFile},
    {"openTun", netkit::OpenTun},
    {"controlTun", netkit::ControlTun},
    {"identifyTun", netkit::IdentifyTun},
    {"tunNamespace", netkit::TunNamespace},
    {"readFrames", netkit::ReadFrames},
    {"writeFrames", netkit::WriteFrames},
    {"writeBuffers", netkit::WriteBuffers},
    {"nudgeEnd", netkit::NudgeEnd},
    {"flushEnd", netkit::FlushEnd},
    {"endCounters", netkit::EndCounters},
    {"waitReadable", netkit::WaitReadable},
    {"createTunEnd", netkit::CreateTunEnd},
    {"openMacvtap", netkit::OpenMacvtap},
    {"probeTun", netkit::ProbeTun},
    {"createPacketEnd", netkit::CreatePacketEnd},
    {"packetDrops", netkit::PacketDrops},
    {"lookAgain", netkit::LookAgain},
    {"isLayer3End", netkit::IsLayer3End},
    {"shutPacketEnd", netkit::ShutPacketEnd},
    {"setSocketProgram", netkit::SetSocketProgram},
    {"segmentRoom", netkit::SegmentRoom},
    {"segmentFrame", netkit::SegmentFrame},
    {"coalesceFrames", netkit::CoalesceFrames},
    {"internetSum", netkit::InternetSum},
    {"checkFilter", netkit::CheckFilter},
    {"runFilter", netkit::RunFilter},
    {"createDatagramEnd", netkit::CreateDatagramEnd},
    {"setDatagramRemote", netkit::SetDatagramRemote},
    {"datagramRemote", netkit::DatagramRemote},
    {"datagramSource", netkit::DatagramSource},
    {"refreshDatagram", netkit::RefreshDatagram},
    {"createStreamEnd", netkit::CreateStreamEnd},
    {"setStreamDescriptor", netkit::SetStreamDescriptor},
    {"releaseStreamEnd", netkit::ReleaseStreamEnd},
    {"streamState", netkit::StreamState},
    {"createPairEnds", netkit::CreatePairEnds},
    {"closePairEnd", netkit::ClosePairEnd},
    {"startSwitch", netkit::StartSwitch},
    {"stopSwitch", netkit::StopSwitch},
    {"referenceSwitch", netkit::ReferenceSwitch},
    {"addSwitchPort", netkit::AddSwitchPort},
    {"setSwitchPort", netkit::SetSwitchPort},
    {"removeSwitchPort", netkit::RemoveSwitchPort},
    {"setSwitchAddress", netkit::SetSwitchAddress},
    {"flushSwitch", netkit::FlushSwitch},
    {"listSwitchTable", netkit::ListSwitchTable},
    {"switchPortCounters", netkit::SwitchPortCounters},
    {"createPump", netkit::CreatePump},
    {"runPump", netkit::RunPump},
    {"setPump", netkit::SetPump},
    {"teePump", netkit::TeePump},
    {"stopPump", netkit::StopPump},
    {"pausePump", netkit::PausePump},
    {"referPump", netkit::ReferPump},
    {"pumpCounters", netkit::PumpCounters},
    {"closeTee", netkit::CloseTee},
    {"createTee", netkit::CreateTee},
};

// Once for every environment that loads the addon. Each function gets the environment's state as its data.
Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  netkit::Environment* environment = netkit::Environment::Create(env);
  if (environment == nullptr) return exports;
  for (const Export& each : kExports) {
    napi_property_descriptor property = {each.name, nullptr, each.function,   nullptr,
                                         nullptr,   nullptr, napi_enumerable, environment};
    if (napi_define_properties(env, exports, 1, &property) != napi_ok) break;
  }
  return exports;
}

}  // namespace

NODE_API_MODULE(netkit, Initialise)
