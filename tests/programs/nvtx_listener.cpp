// A profiler of a few lines: prints the NVTX ranges of the program that loads it (NVTX_INJECTION64_PATH), indented as they nest.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>

namespace {

int depth = 0;

int push(const char* name) {
  std::fprintf(stderr, "nvtx: %*s%s\n", 2 * depth, "", name);
  return depth++;
}
int pop() { return --depth; }

template <class F>
void listen(NvtxFunctionTable table, NvtxCallbackIdCore id, F* function) {
  *table[id] = reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t export_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(export_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size)) return 0;
  listen(table, NVTX_CBID_CORE_RangePushA, push);
  listen(table, NVTX_CBID_CORE_RangePop, pop);
  return 1;
}
