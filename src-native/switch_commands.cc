// What JavaScript asks of a switch.
#include <stdlib.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"
#include "switch.h"

namespace netkit {

namespace {

// Marks the objects that wrap a SwitchMailbox.
constexpr napi_type_tag kTag = {0x6e65746b69745f73, 0x41c7a90be2d6538f};

SwitchMailbox* MailboxOf(napi_env env, napi_value object) {
  return static_cast<SwitchMailbox*>(Unwrap(env, object, kTag, "not a switch"));
}

class NumberCommand : public SwitchCommand {
 public:
  void Refuse(int error) override { result_ = error; }
  napi_value Finish(Environment& environment) override { return Number(environment.env(), result_); }

 protected:
  int result_ = 0;
};

class PortCommand : public NumberCommand {
 public:
  PortCommand(uint32_t id, End* end, const PortSettings& settings) : id_(id), end_(end), settings_(settings) {
    if (end_ != nullptr) end_->Ref();
  }
  ~PortCommand() override {
    if (end_ != nullptr) end_->Unref();
  }

  void Apply(Switch& self) override {
    result_ = end_ != nullptr ? self.AddPort(id_, end_, settings_) : self.SetPort(id_, settings_);
  }

  napi_value Finish(Environment& environment) override {
    // The switch uses the descriptor from when it was asked to, and not at all when it could not.
    if (end_ != nullptr && result_ < 0) environment.LeaveDescriptor(end_->fd());
    return NumberCommand::Finish(environment);
  }

 private:
  const uint32_t id_;
  End* const end_;
  const PortSettings settings_;
};

class RemovePortCommand : public NumberCommand {
 public:
  RemovePortCommand(uint32_t id, int fd) : id_(id), fd_(fd) {}
  void Apply(Switch& self) override { result_ = self.RemovePort(id_); }
  napi_value Finish(Environment& environment) override {
    if (result_ == 0) environment.LeaveDescriptor(fd_);
    return NumberCommand::Finish(environment);
  }

 private:
  const uint32_t id_;
  const int fd_;
};

class AddressCommand : public NumberCommand {
 public:
  AddressCommand(uint32_t id, uint16_t vlan, uint64_t address, bool add)
      : id_(id), vlan_(vlan), address_(address), add_(add) {}
  void Apply(Switch& self) override {
    result_ = add_ ? self.AddAddress(id_, vlan_, address_) : self.RemoveAddress(vlan_, address_);
  }

 private:
  const uint32_t id_;
  const uint16_t vlan_;
  const uint64_t address_;
  const bool add_;
};

class FlushCommand : public NumberCommand {
 public:
  explicit FlushCommand(uint32_t id) : id_(id) {}
  void Apply(Switch& self) override { self.Flush(id_); }

 private:
  const uint32_t id_;
};

// Answers with five numbers an entry: VLAN, address, port, milliseconds since it was seen, whether it is fixed.
class TableCommand : public SwitchCommand {
 public:
  static constexpr size_t kFields = 5;

  ~TableCommand() override { free(values_); }
  void Refuse(int) override {}

  void Apply(Switch& self) override {
    values_ = static_cast<double*>(malloc((self.table().count() + 1) * kFields * sizeof(double)));
    if (values_ == nullptr) return;
    self.table().Sweep([this, &self](const SwitchTable::Entry& entry) {
      double* at = values_ + count_++ * kFields;
      at[0] = static_cast<double>(entry.key >> 48);
      at[1] = static_cast<double>(entry.key & 0xffffffffffffu);
      at[2] = entry.port;
      at[3] = static_cast<double>(self.now() - entry.seen);
      at[4] = entry.fixed ? 1 : 0;
      return false;
    });
  }

  napi_value Finish(Environment& environment) override {
    napi_env env = environment.env();
    void* data = nullptr;
    napi_value buffer = nullptr, array = nullptr;
    const size_t length = count_ * kFields;
    if (napi_create_arraybuffer(env, length * sizeof(double), &data, &buffer) != napi_ok) return nullptr;
    if (length > 0) memcpy(data, values_, length * sizeof(double));
    napi_create_typedarray(env, napi_float64_array, length, buffer, 0, &array);
    return array;
  }

 private:
  double* values_ = nullptr;
  size_t count_ = 0;
};

napi_value Send(Environment& environment, SwitchMailbox* mailbox, SwitchCommand* command) {
  napi_value promise = environment.Expect(command);
  if (promise != nullptr) mailbox->Push(environment, command);
  return promise;
}

// Numbers: VLAN, learning, isolated, addresses, floods, broadcasts; and a bit for each tagged VLAN.
template <size_t kCount>
bool ReadSettings(Arguments<kCount>& arguments, size_t index, PortSettings* settings) {
  Elements<double> numbers = arguments.Doubles(index);
  Bytes vlans = arguments.Octets(index + 1);
  if (!arguments.ok()) return false;
  if (numbers.length != 6 || vlans.length != sizeof(settings->tagged) || !(numbers.data[0] >= 0) ||
      !(numbers.data[0] < kVlans) || !(numbers.data[3] >= 0) || !(numbers.data[3] <= UINT32_MAX)) {
    arguments.Fail(index, "must be the settings of a port");
    return false;
  }
  settings->vlan = static_cast<uint16_t>(numbers.data[0]);
  settings->learning = numbers.data[1] != 0;
  settings->isolated = numbers.data[2] != 0;
  settings->address_limit = static_cast<uint32_t>(numbers.data[3]);
  settings->flood_limit = numbers.data[4];
  settings->broadcast_limit = numbers.data[5];
  memcpy(settings->tagged, vlans.data, sizeof(settings->tagged));
  return true;
}

}  // namespace

napi_value StartSwitch(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  Switch::Options options;
  options.vlans = arguments.Unsigned(0) != 0;
  options.ageing = arguments.Unsigned(1);
  options.addresses = static_cast<uint32_t>(arguments.Whole(2, 1, 1 << 24));
  napi_value callback = arguments.Function(3);
  if (!arguments.ok()) return nullptr;
  Environment& environment = arguments.environment();
  SwitchMailbox* mailbox = new SwitchMailbox();
  const int error = mailbox->Open();
  napi_value result = nullptr, handle = nullptr;
  napi_status status = napi_create_object(env, &result);
  if (status == napi_ok) status = napi_create_object(env, &handle);
  if (status == napi_ok) status = napi_type_tag_object(env, handle, &kTag);
  if (status == napi_ok) {
    mailbox->Ref();
    status = napi_wrap(
        env, handle, mailbox, [](napi_env, void* data, void*) { static_cast<SwitchMailbox*>(data)->Unref(); }, nullptr,
        nullptr);
    if (status != napi_ok) mailbox->Unref();
  }
  if (status != napi_ok || error != 0) {
    mailbox->Unref();
    return status == napi_ok ? Number(env, error) : nullptr;
  }
  Switch* job = new Switch(environment, mailbox, options, callback);
  mailbox->SetJob(job);
  if (!job->Prepare()) {
    job->ReleaseValues(env);
    delete job;
    return Number(env, -ENOMEM);
  }
  napi_value done = environment.SubmitLong(job);
  if (done == nullptr) return nullptr;
  napi_set_named_property(env, result, "handle", handle);
  napi_set_named_property(env, result, "done", done);
  return result;
}

napi_value StopSwitch(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  SwitchMailbox* mailbox = arguments.ok() ? MailboxOf(env, arguments.value(0)) : nullptr;
  if (mailbox != nullptr) mailbox->Stop();
  return nullptr;
}

napi_value ReferenceSwitch(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const bool referenced = arguments.Unsigned(1) != 0;
  SwitchMailbox* mailbox = arguments.ok() ? MailboxOf(env, arguments.value(0)) : nullptr;
  if (mailbox != nullptr && mailbox->job() != nullptr) {
    arguments.environment().SetReferenced(mailbox->job(), referenced);
  }
  return nullptr;
}

napi_value AddSwitchPort(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  const uint32_t id = static_cast<uint32_t>(arguments.Whole(1, 0, kMostPorts - 1));
  PortSettings settings;
  if (!ReadSettings(arguments, 3, &settings)) return nullptr;
  SwitchMailbox* mailbox = MailboxOf(env, arguments.value(0));
  End* end = mailbox == nullptr ? nullptr : EndOf(env, arguments.value(2));
  if (end == nullptr) return nullptr;
  Environment& environment = arguments.environment();
  environment.UseDescriptor(end->fd());
  return Send(environment, mailbox, new PortCommand(id, end, settings));
}

napi_value SetSwitchPort(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  const uint32_t id = static_cast<uint32_t>(arguments.Whole(1, 0, kMostPorts - 1));
  PortSettings settings;
  if (!ReadSettings(arguments, 2, &settings)) return nullptr;
  SwitchMailbox* mailbox = MailboxOf(env, arguments.value(0));
  if (mailbox == nullptr) return nullptr;
  return Send(arguments.environment(), mailbox, new PortCommand(id, nullptr, settings));
}

napi_value RemoveSwitchPort(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const uint32_t id = static_cast<uint32_t>(arguments.Whole(1, 0, kMostPorts - 1));
  if (!arguments.ok()) return nullptr;
  SwitchMailbox* mailbox = MailboxOf(env, arguments.value(0));
  End* end = mailbox == nullptr ? nullptr : EndOf(env, arguments.value(2));
  if (end == nullptr) return nullptr;
  return Send(arguments.environment(), mailbox, new RemovePortCommand(id, end->fd()));
}

napi_value SetSwitchAddress(napi_env env, napi_callback_info info) {
  Arguments<5> arguments(env, info);
  const uint32_t id = static_cast<uint32_t>(arguments.Whole(1, 0, kMostPorts - 1));
  const uint16_t vlan = static_cast<uint16_t>(arguments.Whole(2, 0, kVlans - 1));
  const uint64_t address = static_cast<uint64_t>(arguments.Whole(3, 1, 281474976710655.0));
  const bool add = arguments.Unsigned(4) != 0;
  if (!arguments.ok()) return nullptr;
  SwitchMailbox* mailbox = MailboxOf(env, arguments.value(0));
  if (mailbox == nullptr) return nullptr;
  return Send(arguments.environment(), mailbox, new AddressCommand(id, vlan, address, add));
}

napi_value FlushSwitch(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const uint32_t id = static_cast<uint32_t>(arguments.Whole(1, 0, kMostPorts));
  if (!arguments.ok()) return nullptr;
  SwitchMailbox* mailbox = MailboxOf(env, arguments.value(0));
  if (mailbox == nullptr) return nullptr;
  return Send(arguments.environment(), mailbox, new FlushCommand(id));
}

napi_value ListSwitchTable(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  SwitchMailbox* mailbox = arguments.ok() ? MailboxOf(env, arguments.value(0)) : nullptr;
  if (mailbox == nullptr) return nullptr;
  return Send(arguments.environment(), mailbox, new TableCommand());
}

napi_value SwitchPortCounters(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const uint32_t id = static_cast<uint32_t>(arguments.Whole(1, 0, kMostPorts - 1));
  Elements<double> values = arguments.Doubles(2);
  if (!arguments.ok()) return nullptr;
  SwitchMailbox* mailbox = MailboxOf(env, arguments.value(0));
  if (mailbox == nullptr) return nullptr;
  const PortCounters& counters = mailbox->counters(id);
  for (size_t i = 0; i < values.length && i < sizeof(counters.values) / sizeof(*counters.values); i++) {
    values.data[i] = static_cast<double>(counters.values[i].load(std::memory_order_relaxed));
  }
  return nullptr;
}

}  // namespace netkit
