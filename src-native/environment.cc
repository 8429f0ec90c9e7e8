#include "environment.h"

#include <errno.h>
#include <sched.h>

#include <initializer_list>

#include "arguments.h"
#include "poller.h"

namespace netkit {

Environment* Environment::Create(napi_env env) {
  Environment* environment = new Environment(env);
  uv_mutex_init(&environment->mutex_);
  napi_status status = napi_set_instance_data(
      env, environment,
      [](napi_env, void* data, void*) {
        // By now the cleanup hook has run, and nothing points here any more.
        Environment* self = static_cast<Environment*>(data);
        uv_mutex_destroy(&self->mutex_);
        delete self;
      },
      nullptr);
  if (status != napi_ok) {
    uv_mutex_destroy(&environment->mutex_);
    delete environment;
    return nullptr;
  }
  if (environment->Prepare() == napi_ok) return environment;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, nullptr, "netkit: the addon's threads could not be started");
  return nullptr;
}

napi_status Environment::Prepare() {
  napi_status status = napi_get_uv_event_loop(env_, &loop_);
  if (status != napi_ok) return status;
  if (uv_async_init(loop_, &completion_,
                    [](uv_async_t* handle) { static_cast<Environment*>(handle->data)->Drain(); }) != 0) {
    return napi_generic_failure;
  }
  completion_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&completion_));
  HandleOpened();
  entering_threads_.Start(this);
  // Asynchronous, because handles are closed by the loop. From here on the end of the environment is taken care of.
  status = napi_add_async_cleanup_hook(
      env_, [](napi_async_cleanup_hook_handle hook, void* data) { static_cast<Environment*>(data)->Close(hook); }, this,
      &hook_);
  if (status != napi_ok) return status;
  if (work_thread_.Start(this, "netkit") != 0 || slow_thread_.Start(this, "netkit-close") != 0) {
    return napi_generic_failure;
  }

  napi_value name = nullptr, global = nullptr, promise = nullptr, executor = nullptr, poller = nullptr;
  status = napi_create_string_utf8(env_, "netkit", NAPI_AUTO_LENGTH, &name);
  if (status == napi_ok) status = napi_async_init(env_, nullptr, name, &context_);
  if (status == napi_ok) status = napi_get_global(env_, &global);
  if (status == napi_ok) status = napi_get_named_property(env_, global, "Promise", &promise);
  if (status == napi_ok) status = napi_create_reference(env_, promise, 1, &promise_);
  if (status == napi_ok) {
    status = napi_create_function(env_, "executor", NAPI_AUTO_LENGTH, TakeResolve, this, &executor);
  }
  if (status == napi_ok) status = napi_create_reference(env_, executor, 1, &executor_);
  if (status == napi_ok) status = Poller::Define(env_, this, &poller);
  if (status == napi_ok) status = napi_create_reference(env_, poller, 1, &poller_class_);
  return status;
}

// Deferreds of Node-API are not used for jobs: one that is pending when its environment ends cannot be freed.
// References are, so the promise is made as JavaScript would, with an executor that keeps the resolve function.
napi_value Environment::MakePromise(Job* job) {
  napi_value constructor = nullptr, executor = nullptr, promise = nullptr;
  napi_get_reference_value(env_, promise_, &constructor);
  napi_get_reference_value(env_, executor_, &executor);
  starting_ = job;
  napi_status status = napi_new_instance(env_, constructor, 1, &executor, &promise);
  starting_ = nullptr;
  if (status != napi_ok || job->resolve_ == nullptr) {
    Drop(job);
    return nullptr;
  }
  return promise;
}

napi_value Environment::TakeResolve(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Environment& self = arguments.environment();
  if (!arguments.ok() || self.starting_ == nullptr || !IsFunction(env, arguments.value(0))) return nullptr;
  napi_create_reference(env, arguments.value(0), 1, &self.starting_->resolve_);
  self.starting_ = nullptr;
  return nullptr;
}

void Environment::Pend() {
  // The process does not end before its promises are resolved.
  if (pending_++ == 0) uv_ref(reinterpret_cast<uv_handle_t*>(&completion_));
}

napi_value Environment::Submit(Job* job, int fd) {
  // The number may be somebody else's by now.
  if (fd >= 0 && !descriptors_.Owns(fd)) return SubmitRefused(job, -EBADF);
  napi_value promise = MakePromise(job);
  if (promise == nullptr) return nullptr;
  if (fd >= 0) {
    job->used_descriptor_ = fd;
    descriptors_.AddUser(fd);
  }
  Pend();
  work_thread_.Push(job);
  return promise;
}

napi_value Environment::SubmitApart(Job* job) {
  napi_value promise = MakePromise(job);
  if (promise == nullptr) return nullptr;
  Pend();
  entering_threads_.Push(job);
  return promise;
}

napi_value Environment::SubmitEntering(EnteringJob* job, int error) {
  if (error != 0) return SubmitRefused(job, error);
  return job->enters() ? SubmitApart(job) : Submit(job);
}

napi_value Environment::SubmitRefused(Job* job, int error) {
  napi_value promise = MakePromise(job);
  if (promise == nullptr) return nullptr;
  Pend();
  job->Refuse(error);
  Complete(job);
  return promise;
}

napi_value Environment::SubmitSlow(Job* job, int fd) {
  napi_value promise = MakePromise(job);
  if (promise == nullptr) return nullptr;
  PushSlow(job, fd);
  return promise;
}

void Environment::SubmitSlowUnheard(Job* job, int fd) { PushSlow(job, fd); }

void Environment::LongMain(void* data) {
  LongJob* job = static_cast<LongJob*>(data);
  job->Run();
  job->environment_->Complete(job);
}

napi_value Environment::Expect(Job* job) {
  napi_value promise = MakePromise(job);
  if (promise != nullptr) Pend();
  return promise;
}

napi_value Environment::SubmitLong(LongJob* job) {
  napi_value promise = MakePromise(job);
  if (promise == nullptr) return nullptr;
  Pend();
  job->environment_ = this;
  int error = closing_ ? -ECANCELED : uv_thread_create(&job->thread_, LongMain, job);
  if (error != 0) {
    job->Refuse(error);
    Complete(job);
    return promise;
  }
  job->long_ = true;
  job->next_long_ = long_jobs_;
  if (long_jobs_ != nullptr) long_jobs_->previous_long_ = job;
  long_jobs_ = job;
  return promise;
}

void Environment::SetReferenced(LongJob* job, bool referenced) {
  if (!job->long_ || job->referenced_ == referenced) return;
  job->referenced_ = referenced;
  if (referenced) {
    Pend();
  } else if (--pending_ == 0) {
    uv_unref(reinterpret_cast<uv_handle_t*>(&completion_));
  }
}

void Environment::Notify(LongJob* job) {
  uv_mutex_lock(&mutex_);
  if (!job->notified_) {
    job->notified_ = notices_ = true;
    uv_async_send(&completion_);
  }
  uv_mutex_unlock(&mutex_);
}

void Environment::AnswerNotices() {
  uv_mutex_lock(&mutex_);
  bool any = notices_;
  notices_ = false;
  uv_mutex_unlock(&mutex_);
  // What Notified() does may take any job out of the list: begin again after each.
  while (any) {
    LongJob* found = nullptr;
    uv_mutex_lock(&mutex_);
    for (LongJob* each = long_jobs_; each != nullptr && found == nullptr; each = each->next_long_) {
      if (each->notified_) found = each;
    }
    if (found != nullptr) found->notified_ = false;
    uv_mutex_unlock(&mutex_);
    if (found == nullptr) return;
    napi_handle_scope handles = nullptr;
    napi_open_handle_scope(env_, &handles);
    found->Notified(*this);
    napi_close_handle_scope(env_, handles);
  }
}

void Environment::LongEnded(LongJob* job) {
  uv_thread_join(&job->thread_);
  (job->previous_long_ == nullptr ? long_jobs_ : job->previous_long_->next_long_) = job->next_long_;
  if (job->next_long_ != nullptr) job->next_long_->previous_long_ = job->previous_long_;
  job->long_ = false;
  // Drain() is about to count it out.
  if (!job->referenced_) Pend();
}

void Environment::PushSlow(Job* job, int fd) {
  Pend();
  if (fd >= 0 && descriptors_.Used(fd)) {
    job->behind_ = fd;
    blocked_.Push(job);
  } else {
    slow_thread_.Push(job);
  }
}

// A job that used the descriptor is done.
void Environment::Unused(int fd) {
  descriptors_.RemoveUser(fd);
  if (blocked_.empty() || descriptors_.Used(fd)) return;
  JobList rest;
  while (Job* job = blocked_.Pop()) {
    if (job->behind_ == fd) {
      slow_thread_.Push(job);
    } else {
      rest.Push(job);
    }
  }
  blocked_.Swap(rest);
}

napi_value Environment::Resolved(int value) {
  napi_value promise = nullptr;
  napi_deferred deferred = nullptr;
  if (napi_create_promise(env_, &deferred, &promise) != napi_ok) return nullptr;
  napi_resolve_deferred(env_, deferred, Number(env_, value));
  return promise;
}

void Environment::Complete(Job* job) {
  uv_mutex_lock(&mutex_);
  completed_.Push(job);
  // Inside the lock: at the end the handle is closed only after the last thread has left here.
  uv_async_send(&completion_);
  uv_mutex_unlock(&mutex_);
}

void Environment::Drain() {
  if (closing_) return;
  AnswerNudges();
  AnswerNotices();
  JobList done;
  uv_mutex_lock(&mutex_);
  done.Swap(completed_);
  uv_mutex_unlock(&mutex_);
  if (done.empty()) return;

  napi_handle_scope handles = nullptr;
  napi_open_handle_scope(env_, &handles);
  // One scope for the batch: microtasks and nextTick callbacks run when it closes. It does not open when the
  // environment is ending; then results only go where the end finds them.
  napi_callback_scope callbacks = nullptr;
  napi_open_callback_scope(env_, nullptr, context_, &callbacks);
  while (Job* job = done.Pop()) {
    if (job->own_thread_) entering_threads_.Joined(job);
    if (job->long_) LongEnded(static_cast<LongJob*>(job));
    if (job->used_descriptor_ >= 0) Unused(job->used_descriptor_);
    napi_handle_scope each = nullptr;
    napi_open_handle_scope(env_, &each);
    Settle(job);
    napi_close_handle_scope(env_, each);
    Drop(job);
    if (--pending_ == 0) uv_unref(reinterpret_cast<uv_handle_t*>(&completion_));
  }
  if (callbacks != nullptr) napi_close_callback_scope(env_, callbacks);
  napi_close_handle_scope(env_, handles);
}

void Environment::Settle(Job* job) {
  napi_value value = job->Finish(*this);
  napi_value resolve = nullptr, receiver = nullptr;
  if (job->resolve_ == nullptr || value == nullptr) return;
  napi_get_reference_value(env_, job->resolve_, &resolve);
  napi_get_undefined(env_, &receiver);
  napi_call_function(env_, receiver, resolve, 1, &value, nullptr);
}

void Environment::Drop(Job* job) {
  if (job->resolve_ != nullptr) napi_delete_reference(env_, job->resolve_);
  job->ReleaseValues(env_);
  delete job;
}

int Environment::StartThreadPool() {
  if (pool_started_) return 0;
  // libuv makes all its pool threads inside the first call, and a thread is born in the namespace of the one that makes
  // it.
  uv_work_t* request = new uv_work_t;
  request->data = this;
  int error = uv_queue_work(
      loop_, request, [](uv_work_t*) {},
      [](uv_work_t* done, int) {
        Environment* self = static_cast<Environment*>(done->data);
        delete done;
        self->HandleClosed();
      });
  if (error != 0) {
    delete request;
    return error;
  }
  HandleOpened();
  pool_started_ = true;
  return 0;
}

napi_value Environment::NewPoller(napi_value fd, napi_value callback) {
  napi_value constructor = nullptr, poller = nullptr;
  napi_value arguments[] = {fd, callback};
  napi_get_reference_value(env_, poller_class_, &constructor);
  if (napi_new_instance(env_, constructor, 2, arguments, &poller) != napi_ok) return nullptr;
  return poller;
}

void Environment::AddPoller(Poller* poller) {
  poller->next = pollers_;
  if (pollers_ != nullptr) pollers_->previous = poller;
  pollers_ = poller;
}

void Environment::RemovePoller(Poller* poller) {
  (poller->previous == nullptr ? pollers_ : poller->previous->next) = poller->next;
  if (poller->next != nullptr) poller->next->previous = poller->previous;
  poller->next = poller->previous = nullptr;
}

void Environment::WakeForNudges() {
  nudged_ = true;
  uv_async_send(&completion_);
}

void Environment::AnswerNudges() {
  if (!nudged_) return;
  nudged_ = false;
  // Nudges that come meanwhile have to wait for the next turn, or the loop would never get on under a flood.
  for (Poller* each = pollers_; each != nullptr; each = each->next) each->TakeNudge();
  for (Poller* each = pollers_; each != nullptr;) each = each->AnswerNudge() ? pollers_ : each->next;
}

void Environment::ReportException() {
  bool pending = false;
  napi_value exception = nullptr;
  if (napi_is_exception_pending(env_, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env_, &exception) == napi_ok) napi_fatal_exception(env_, exception);
}

// The environment ends. No JavaScript runs any more, the loop does until the hook is removed.
void Environment::Close(napi_async_cleanup_hook_handle hook) {
  hook_ = hook;
  closing_ = true;
  for (LongJob* each = long_jobs_; each != nullptr; each = each->next_long_) each->Stop();
  while (long_jobs_ != nullptr) LongEnded(long_jobs_);
  JobList rest;
  work_thread_.Stop(rest);
  slow_thread_.Stop(rest);
  entering_threads_.Stop(rest);
  rest.Append(blocked_);
  rest.Append(completed_);  // no other thread is left
  while (Job* job = rest.Pop()) Drop(job);
  while (pollers_ != nullptr) pollers_->Close();
  descriptors_.CloseAll();

  if (context_ != nullptr) napi_async_destroy(env_, context_);
  for (napi_ref reference : {promise_, executor_, poller_class_}) {
    if (reference != nullptr) napi_delete_reference(env_, reference);
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&completion_),
           [](uv_handle_t* handle) { static_cast<Environment*>(handle->data)->HandleClosed(); });
}

void Environment::HandleClosed() {
  // completion_ is the last but for what the loop still has to close.
  if (--open_handles_ == 0) napi_remove_async_cleanup_hook(hook_);
}

napi_value NumberJob::Finish(Environment& environment) { return Number(environment.env(), result_); }

napi_value DescriptorJob::Finish(Environment& environment) {
  if (error_ == 0) {
    environment.descriptors().Own(fd_.get());
    return Number(environment.env(), fd_.Release());
  }
  return Number(environment.env(), error_);
}

int EnteringJob::Enter() {
  if (!enters()) return 0;
  return setns(namespace_.get(), CLONE_NEWNET) == 0 ? 0 : -errno;
}

}  // namespace netkit
