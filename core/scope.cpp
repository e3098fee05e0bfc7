#include <mica/core/scope.h>

#include <utility>

#ifdef MICA_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace mica {
namespace {

thread_local Scope::Name innermost;
thread_local ScopeObserver* observer = nullptr;

#ifdef MICA_NVTX
void begin_range(const std::string& name) { nvtxRangePushA(name.c_str()); }
void end_range() { nvtxRangePop(); }
#else
void begin_range(const std::string&) {}
void end_range() {}
#endif

}  // namespace

Scope::Scope(const Name& name, Pass pass) : name_(name), pass_(pass) {
  if (!name_) return;
  if (pass_ == Pass::backward) begin_range(*name_ + " backward");
  else begin_range(*name_);
  outer_ = std::exchange(innermost, name);
  if (observer) observer->enter(*name_, pass_);
}

Scope::~Scope() {
  if (!name_) return;
  if (observer) observer->leave(*name_, pass_);
  end_range();
  innermost = std::move(outer_);
}

Scope::Name Scope::current() { return innermost; }

ScopeObserver::ScopeObserver() : outer_(std::exchange(observer, this)) {}
ScopeObserver::~ScopeObserver() { observer = outer_; }

}  // namespace mica
