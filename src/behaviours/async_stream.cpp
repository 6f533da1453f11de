// The tasks of a stream: started, timed, waited for, and ended with it.
//
// Each is watched, and killed by a timer of its own, so that its time is kept while the consumer does other things. Its
// result stands beside it: the end of the task is all that is sent.
#include <otp/async_stream.hpp>
#include <otp/timer.hpp>

#include <algorithm>
#include <functional>

namespace otp::detail {

void stream_task::note_end(const exit_reason& why) noexcept {
  const bool overdue = why == reason::killed && deadline_ <= now();
  if (base_) base_->how_ended.store(overdue ? stream_slot_base::end::overdue : stream_slot_base::end::by_itself);
}

// By another thread: nothing is sent for an abandoned process, its `down` tells enough.
void stream_task::given_up(const exit_reason& why) noexcept { note_end(why); }

void stream_task::ended(const exit_reason& why) noexcept {
  note_end(why);
  if (!link_ || !link_->linked || why.is_normal() || link_->over.load()) return;
  if (base_->how_ended.load() == stream_slot_base::end::overdue) return;  // the consumer judges it
  try {
    // What a link carries is a reason like any other; sent as a signal, `kill` could not be trapped.
    if (why == reason::kill)
      otp::link(link_->consumer);
    else
      otp::exit(link_->consumer, why);
  } catch (...) {
    // No memory for the signal, or nobody to send it to: the `down` tells it as well.
  }
}

stream_core::stream_core(const stream_options& how, std::optional<supervisor_ref> supervisor, bool linked,
                         const char* function, bool keeps_input)
    : how_(how), supervisor_(std::move(supervisor)), linked_(linked), function_(function) {
  auto refuse = [&](std::string text) { throw bad_argument(std::string(function_) + ": " + text); };
  if (how_.max_concurrency && *how_.max_concurrency < 1)
    refuse("max_concurrency is " + integer_text(*how_.max_concurrency) + "; give 1 or more, or leave it away");
  if (how_.timeout.count() < 0)
    refuse("the timeout is " + integer_text(how_.timeout.count()) +
           " ns; give 0, a positive duration or otp::infinity");
  if (static_cast<unsigned>(how_.on_timeout) > static_cast<unsigned>(on_timeout::kill_task))
    refuse("unknown on_timeout; give otp::on_timeout::exit or kill_task");
  if (!how_.shutdown.is_brutal_kill() && how_.shutdown.time().count() < 0)
    refuse("the shutdown is " + how_.shutdown.to_string() + "; give 0, a positive duration, infinity or brutal_kill");
  if (how_.zip_input_on_exit && !keeps_input)
    refuse("zip_input_on_exit needs elements that can be copied, and a function that takes them as const");
}

stream_core::~stream_core() noexcept(false) {
  try {
    stop();
  } catch (...) {
    if (std::uncaught_exceptions() == 0) throw;
  }
}

void stream_core::begin() {
  require_caller(function_);
  auto link = std::make_shared<stream_link>();
  link->consumer = self();
  if (linked_) {
    const bool traps = trap_exit(true);
    trap_exit(traps);
    link->linked = !traps;
  }
  limit_ = how_.max_concurrency ? static_cast<std::size_t>(*how_.max_concurrency) : worker_count();
  link_ = std::move(link);
}

void stream_core::require_consumer() const {
  if (link_->consumer != self())
    throw bad_argument(std::string(function_) + ": the stream was begun by " + link_->consumer.to_string() +
                       ", and its tasks answer there, but " + self().to_string() + " goes on with it");
}

void stream_core::add(std::unique_ptr<stream_task> task, std::shared_ptr<stream_slot_base> slot) {
  entry e;
  e.slot = std::move(slot);
  task_name_ = &task->type();
  const bool timed = how_.timeout != infinity;
  e.deadline = instant::max();
  if (timed && how_.timeout.count() <= (instant::max() - now()).count()) e.deadline = now() + how_.timeout;
  task->join(link_, e.slot, e.deadline);
  if (entries_.size() == entries_.capacity()) entries_.reserve(2 * entries_.size() + 8);  // before anything runs
  if (supervisor_) {
    task_handle t = start_supervised_task(*supervisor_, std::move(task), false, how_.shutdown, function_);
    e.process = t.process;
    e.watch = t.watch;
  } else {
    spawn_options how;
    how.monitor = true;
    spawned made = spawn_body(std::move(task), how);
    e.process = made.pid;
    e.watch = made.monitor;
  }
  entries_.push_back(std::move(e));
  ++running_;
  if (timed) entries_.back().timer = kill_after(how_.timeout, entries_.back().process);
}

void stream_core::note_end(entry& e, const exit_reason& why) {
  e.ended = true;
  e.why = why;
  const auto how = e.slot->how_ended.load();
  e.overdue = how == stream_slot_base::end::overdue ||
              (how == stream_slot_base::end::unknown && why == reason::killed && e.deadline <= now());
  if (e.timer) cancel_timer(e.timer);
}

std::optional<stream_core::entry> stream_core::take() {
  std::optional<entry> taken;
  if (!how_.ordered) {
    if (!ready_) return taken;
    taken.emplace(std::move(entries_[*std::exchange(ready_, std::nullopt)]));
  } else {
    if (first_ == entries_.size() || !entries_[first_].done) return taken;
    taken.emplace(std::move(entries_[first_++]));
    if (first_ == entries_.size() || first_ >= 2 * limit_) {
      entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
      for (std::size_t& at : arrived_) at -= first_;
      first_ = 0;
    }
  }
  // The signal that a failing task sends comes first; this is for one that was abandoned and sent nothing.
  if (link_->linked && !taken->overdue && !taken->why.is_normal()) throw exited(std::move(taken->why));
  return taken;
}

void stream_core::wait() {
  if (arrived_.empty()) collect_ends();
  const std::size_t at = arrived_.back();
  arrived_.pop_back();
  entries_[at].done = true;
  if (!how_.ordered) ready_ = at;
  --running_;
}

void stream_core::collect_ends() {
  if (!how_.ordered) std::erase_if(entries_, [](const entry& e) { return !e.slot; });
  std::vector<awaited> waits;
  std::vector<std::size_t> places;
  waits.reserve(running_);
  places.reserve(running_);
  for (std::size_t i = first_; i < entries_.size(); ++i) {
    if (entries_[i].ended) continue;
    waits.emplace_back(entries_[i].watch, nullptr);
    places.push_back(i);
  }
  collect(waits.data(), waits.size(), 1, infinity);
  std::vector<std::pair<std::size_t, std::size_t>> ended;  // order of their end, place
  for (std::size_t i = 0; i < waits.size(); ++i) {
    if (!waits[i].end) continue;
    note_end(entries_[places[i]], waits[i].why());
    ended.emplace_back(waits[i].place, places[i]);
  }
  std::sort(ended.begin(), ended.end(), std::greater());
  for (auto& [order, place] : ended) arrived_.push_back(place);
}

void stream_core::stop() {
  if (!link_ || !self() || link_->over.exchange(true)) return;
  std::vector<awaited> waits;
  for (entry& e : entries_) {
    if (e.ended || !e.slot) continue;
    if (e.timer) cancel_timer(e.timer);
    exit(e.process, reason::kill);
    waits.emplace_back(e.watch, nullptr);
  }
  if (self() == link_->consumer) collect(waits.data(), waits.size(), waits.size(), infinity);
  entries_.clear();
  arrived_.clear();
  ready_.reset();
  running_ = first_ = 0;
}

exited stream_core::timed_out() const {
  return exited(call_failure(reason::timeout, function_, supervisor_ ? supervisor_->to_string() : self().to_string(),
                             task_name_ ? *task_name_ : std::string_view("stream"), how_.timeout));
}

}  // namespace otp::detail
