#include "switch.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#include "environment.h"

namespace netkit {

namespace {

// Between two looks for addresses that are too old, in milliseconds.
constexpr uint64_t kSweep = 1000;

uint64_t Milliseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace

SwitchMailbox::SwitchMailbox() { uv_mutex_init(&mutex_); }

SwitchMailbox::~SwitchMailbox() {
  uv_mutex_destroy(&mutex_);
  free(counters_);
}

int SwitchMailbox::Open() {
  counters_ = static_cast<PortCounters*>(calloc(kMostPorts, sizeof(PortCounters)));
  if (counters_ == nullptr) return -ENOMEM;
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return -errno;
  wake_.Reset(fd);
  return 0;
}

void SwitchMailbox::Push(Environment& environment, SwitchCommand* command) {
  uv_mutex_lock(&mutex_);
  const bool taken = !stopping();
  if (taken) commands_.Push(command);
  uv_mutex_unlock(&mutex_);
  if (taken) {
    eventfd_write(wake_.get(), 1);
  } else {
    command->Refuse(-ECANCELED);
    environment.Complete(command);
  }
}

void SwitchMailbox::Stop() {
  uv_mutex_lock(&mutex_);
  stopping_.store(true, std::memory_order_release);
  uv_mutex_unlock(&mutex_);
  if (wake_.valid()) eventfd_write(wake_.get(), 1);
}

SwitchCommand* SwitchMailbox::Pop() {
  uv_mutex_lock(&mutex_);
  SwitchCommand* command = static_cast<SwitchCommand*>(commands_.Pop());
  uv_mutex_unlock(&mutex_);
  return command;
}

void SwitchMailbox::CloseWake() {
  stopping_.store(true, std::memory_order_release);
  wake_.Reset(-1);
}

void SwitchMailbox::Empty() {
  eventfd_t value;
  eventfd_read(wake_.get(), &value);
}

Switch::Switch(Environment& environment, SwitchMailbox* mailbox, const Options& options, napi_value callback)
    : environment_(environment), mailbox_(mailbox), options_(options) {
  uv_mutex_init(&told_);
  if (callback != nullptr) napi_create_reference(environment.env(), callback, 1, &callback_);
}

Switch::~Switch() {
  Clear();
  free(ports_);
  free(polled_);
  free(polled_ids_);
  free(slab_);
  free(spans_);
  uv_mutex_destroy(&told_);
  mailbox_->SetJob(nullptr);
  mailbox_->CloseWake();
  mailbox_->Unref();
}

bool Switch::Prepare() {
  ports_ = static_cast<Port*>(calloc(kMostPorts, sizeof(Port)));
  polled_ = static_cast<pollfd*>(calloc(kMostPorts + 1, sizeof(pollfd)));
  polled_ids_ = static_cast<uint32_t*>(calloc(kMostPorts + 1, sizeof(uint32_t)));
  spans_ = static_cast<Span*>(calloc(kBatch, sizeof(Span)));
  slab_ = static_cast<uint8_t*>(malloc(kSlab + kCopies));
  return ports_ != nullptr && polled_ != nullptr && polled_ids_ != nullptr && spans_ != nullptr && slab_ != nullptr &&
         table_.Prepare(options_.addresses);
}

void Switch::Clear() {
  for (uint32_t id = 0; ports_ != nullptr && id < kMostPorts; id++) {
    Port& port = ports_[id];
    if (port.end != nullptr) port.end->Unref();
    free(port.out);
    port.end = nullptr;
    port.out = nullptr;
  }
}

int Switch::AddPort(uint32_t id, End* end, const PortSettings& settings) {
  if (id >= kMostPorts || ports_[id].end != nullptr) return -EINVAL;
  Port& port = ports_[id];
  port = Port();
  port.out = static_cast<Span*>(calloc(kBatch, sizeof(Span)));
  if (port.out == nullptr) return -ENOMEM;
  end->Ref();
  port.end = end;
  for (auto& value : mailbox_->counters(id).values) value.store(0, std::memory_order_relaxed);
  if (id >= highest_) highest_ = id + 1;
  return SetPort(id, settings);
}

int Switch::SetPort(uint32_t id, const PortSettings& settings) {
  if (id >= kMostPorts || ports_[id].end == nullptr) return -ENODEV;
  Port& port = ports_[id];
  port.settings = settings;
  port.flood.Set(settings.flood_limit);
  port.broadcast.Set(settings.broadcast_limit);
  return 0;
}

int Switch::RemovePort(uint32_t id) {
  if (id >= kMostPorts || ports_[id].end == nullptr) return -ENODEV;
  table_.Sweep([id](const SwitchTable::Entry& entry) { return entry.port == id; });
  ports_[id].end->Unref();
  free(ports_[id].out);
  ports_[id] = Port();
  TellAddresses(id);
  while (highest_ > 0 && ports_[highest_ - 1].end == nullptr) highest_--;
  return 0;
}

int Switch::AddAddress(uint32_t id, uint16_t vlan, uint64_t address) {
  if (id >= kMostPorts || ports_[id].end == nullptr) return -ENODEV;
  const uint64_t key = SwitchTable::Key(vlan, address);
  SwitchTable::Entry* entry = table_.Find(key);
  if (entry == nullptr) {
    entry = table_.Add(key, static_cast<uint16_t>(id), now_, true);
    if (entry == nullptr) return -ENOSPC;
  } else {
    ports_[entry->port].addresses--;
    TellAddresses(entry->port);
  }
  entry->port = static_cast<uint16_t>(id);
  entry->fixed = true;
  ports_[id].addresses++;
  TellAddresses(id);
  return 0;
}

int Switch::RemoveAddress(uint16_t vlan, uint64_t address) {
  SwitchTable::Entry* entry = table_.Find(SwitchTable::Key(vlan, address));
  if (entry == nullptr) return -ENOENT;
  const uint32_t id = entry->port;
  ports_[id].addresses--;
  TellAddresses(id);
  table_.Remove(entry);
  return 0;
}

void Switch::Flush(uint32_t id) {
  table_.Sweep([this, id](const SwitchTable::Entry& entry) {
    if (entry.fixed || (id != kMostPorts && entry.port != id)) return false;
    ports_[entry.port].addresses--;
    TellAddresses(entry.port);
    return true;
  });
}

void Switch::Age() {
  if (options_.ageing == 0 || now_ - aged_ < kSweep) return;
  aged_ = now_;
  table_.Sweep([this](const SwitchTable::Entry& entry) {
    if (entry.fixed || now_ - entry.seen < options_.ageing) return false;
    ports_[entry.port].addresses--;
    TellAddresses(entry.port);
    return true;
  });
}

void Switch::Fail(uint32_t id, int error) {
  if (ports_[id].error != 0) return;
  ports_[id].error = error;
  uv_mutex_lock(&told_);
  if (failed_count_ < kMostPorts) {
    failed_[failed_count_] = id;
    failures_[failed_count_] = error;
    failed_count_++;
  }
  uv_mutex_unlock(&told_);
  environment_.Notify(this);
}

void Switch::Notified(Environment& environment) {
  napi_env env = environment.env();
  for (;;) {
    uint32_t id = 0;
    int error = 0;
    uv_mutex_lock(&told_);
    const bool any = failed_count_ > 0;
    if (any) {
      failed_count_--;
      id = failed_[failed_count_];
      error = failures_[failed_count_];
    }
    uv_mutex_unlock(&told_);
    if (!any || callback_ == nullptr) return;
    napi_value callback = nullptr, receiver = nullptr;
    napi_get_reference_value(env, callback_, &callback);
    napi_get_global(env, &receiver);
    napi_value arguments[2] = {nullptr, nullptr};
    napi_create_uint32(env, id, &arguments[0]);
    napi_create_int32(env, error, &arguments[1]);
    if (napi_make_callback(env, environment.context(), receiver, callback, 2, arguments, nullptr) != napi_ok) {
      environment.ReportException();
    }
  }
}

// Whether there were any.
bool Switch::ApplyCommands() {
  bool any = false;
  while (SwitchCommand* command = mailbox_->Pop()) {
    command->Apply(*this);
    environment_.Complete(command);
    any = true;
  }
  return any;
}

void Switch::Run() {
  prctl(PR_SET_NAME, "netkit-switch");
  copies_ = kSlab;
  aged_ = Milliseconds();
  while (!mailbox_->stopping()) {
    uint32_t count = 0;
    bool pending = false;
    uint32_t again = 0;
    polled_[count++] = {mailbox_->fd(), POLLIN, 0};
    for (uint32_t id = 0; id < highest_; id++) {
      const Port& port = ports_[id];
      if (port.end == nullptr || port.error != 0) continue;
      // Frames that wait in memory do not make the descriptor readable.
      pending |= port.end->pending();
      const uint32_t wanted = port.end->look_again();
      if (wanted != 0 && (again == 0 || wanted < again)) again = wanted;
      polled_[count] = {port.end->fd(), static_cast<int16_t>(port.end->wants_write() ? POLLIN | POLLOUT : POLLIN), 0};
      polled_ids_[count++] = id;
    }
    const bool ages = options_.ageing != 0 && table_.count() > 0;
    int timeout = ages ? static_cast<int>(kSweep) : -1;
    if (again != 0 && (timeout < 0 || again < static_cast<uint32_t>(timeout))) timeout = static_cast<int>(again);
    const int ready = poll(polled_, count, pending ? 0 : timeout);
    now_ = Milliseconds();
    Age();
    if (ready > 0 && polled_[0].revents != 0) mailbox_->Empty();
    if (ApplyCommands() || (ready <= 0 && !pending && again == 0)) continue;
    for (uint32_t i = 1; i < count; i++) {
      if (ports_[polled_ids_[i]].end == nullptr) continue;
      const End& end = *ports_[polled_ids_[i]].end;
      const bool waits = end.pending() || end.look_again() != 0;
      if (polled_[i].revents == 0 && !waits) continue;
      const uint32_t id = polled_ids_[i];
      Port& port = ports_[id];
      if (port.error != 0) continue;
      if ((polled_[i].revents & POLLOUT) != 0 && port.end->wants_write()) {
        const int flushed = port.end->Flush();
        if (flushed != 0 && flushed != -EAGAIN) Fail(id, flushed);
      }
      if (((polled_[i].revents & ~POLLOUT) == 0 && !waits) || port.error != 0) continue;
      // Without offload the frames are short, and the slab's beginning is enough for a batch.
      const size_t room = port.end->offloads() != 0 ? kSlab : kSmallSlab;
      const int read = port.end->Read(slab_, room, 0, spans_, kBatch, nullptr);
      if (read > 0) {
        // What was asked for before a frame was sent holds for that frame: a port that is new gets it.
        ApplyCommands();
        if (port.end != nullptr) Forward(id, static_cast<uint32_t>(read));
      } else if (read != -EAGAIN) {
        Fail(id, read);
      }
    }
  }
  while (SwitchCommand* command = mailbox_->Pop()) {
    command->Refuse(-ECANCELED);
    environment_.Complete(command);
  }
}

napi_value Switch::Finish(Environment& environment) {
  for (uint32_t id = 0; ports_ != nullptr && id < kMostPorts; id++) {
    if (ports_[id].end != nullptr) environment.LeaveDescriptor(ports_[id].end->fd());
  }
  napi_value result = nullptr;
  napi_create_int32(environment.env(), result_, &result);
  return result;
}

void Switch::ReleaseValues(napi_env env) {
  if (callback_ != nullptr) napi_delete_reference(env, callback_);
  callback_ = nullptr;
}

}  // namespace netkit
