// Which part of a training step works on this thread: a scope for each module's forward, and again for the backward of what its
// forward recorded, one for a batch that is made, and one for an optimizer's step or for clipping. Profilers see scopes as NVTX ranges (in builds with CUDA), and an observer of this thread hears of them.
#pragma once

#include <memory>
#include <string>

namespace mica {

enum class Pass { forward, backward, data, optimizer };

class Scope {
 public:
  using Name = std::shared_ptr<const std::string>;  // shared, since a graph may outlive its module

  explicit Scope(const Name& name, Pass pass = Pass::forward);  // of null: none begins
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  static Name current();  // the innermost one's; null outside of all

 private:
  Name name_, outer_;
  Pass pass_;
};

// Told of every scope of the thread that made it, while it lives; of one that began before, only the end. The innermost of
// several is told.
class ScopeObserver {
 public:
  ScopeObserver();
  virtual ~ScopeObserver();
  ScopeObserver(const ScopeObserver&) = delete;
  ScopeObserver& operator=(const ScopeObserver&) = delete;
  virtual void enter(const std::string& name, Pass pass) noexcept = 0;
  virtual void leave(const std::string& name, Pass pass) noexcept = 0;

 private:
  ScopeObserver* outer_;
};

}  // namespace mica
