# The CUDA backend: whether it is built, by which compiler, for which GPUs. Sets MICA_CUDA_BACKEND to nvcc, emulator or "".
# Only kernels/cuda/*.cu are CUDA's language; core/cuda is C++ that calls the runtime.

if(NOT MICA_CUDA MATCHES "^(AUTO|ON|OFF|EMULATED)$")
  message(FATAL_ERROR "MICA_CUDA=${MICA_CUDA}: expected AUTO, ON, OFF or EMULATED.")
endif()
set(MICA_CUDA_BACKEND "")
set(MICA_CUDA_PLACES $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda /opt/cuda)

if(MICA_CUDA MATCHES "^(AUTO|ON)$")
  if(CMAKE_CUDA_COMPILER)
    set(MICA_NVCC ${CMAKE_CUDA_COMPILER})
  elseif(DEFINED ENV{CUDACXX})
    set(MICA_NVCC $ENV{CUDACXX})
  endif()
  find_program(MICA_NVCC nvcc PATHS ${MICA_CUDA_PLACES} PATH_SUFFIXES bin)
  if(MICA_NVCC)
    set(MICA_CUDA_BACKEND nvcc)
  elseif(MICA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MICA_CUDA=ON: nvcc was not found on PATH nor under ${MICA_CUDA_PLACES}. Install the CUDA toolkit, "
                        "or name it by -DCMAKE_CUDA_COMPILER=/path/to/nvcc, or build without it by -DMICA_CUDA=OFF.")
  endif()
elseif(MICA_CUDA STREQUAL "EMULATED")
  find_path(MICA_CUDA_INCLUDE cuda_runtime.h PATHS ${MICA_CUDA_PLACES} PATH_SUFFIXES include)
  if(NOT MICA_CUDA_INCLUDE)
    message(FATAL_ERROR "MICA_CUDA=EMULATED needs the headers of the CUDA toolkit; cuda_runtime.h was not found under ${MICA_CUDA_PLACES}.")
  endif()
  set(MICA_CUDA_BACKEND emulator)
endif()

if(MICA_CUDA_BACKEND STREQUAL "nvcc")
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${MICA_NVCC})
  endif()
  # Real code for every generation from Turing on that this toolkit knows, and PTX of the newest for those to come.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE known)
    foreach(wanted 75 80 86 89 90 100 101 110 120)
      if(known MATCHES "compute_${wanted}\n")
        list(APPEND CMAKE_CUDA_ARCHITECTURES ${wanted}-real)
        set(newest ${wanted})
      endif()
    endforeach()
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
    set(CMAKE_CUDA_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES} CACHE STRING "GPU architectures to compile for")
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know yet that nvcc has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit REQUIRED)
endif()

# cuBLAS and cuDNN are loaded when a program first needs them; here only their headers are needed.
if(MICA_CUDA_BACKEND)
  set(MICA_LIBRARY_HINTS ${CUDAToolkit_INCLUDE_DIRS} ${MICA_CUDA_INCLUDE} $ENV{CUDNN_HOME}/include ${CMAKE_SYSTEM_PREFIX_PATH})
  find_path(MICA_CUBLAS_INCLUDE cublas_v2.h HINTS ${MICA_LIBRARY_HINTS})
  find_path(MICA_CUDNN_INCLUDE cudnn.h HINTS ${MICA_LIBRARY_HINTS} PATHS ${MICA_CUDA_PLACES} PATH_SUFFIXES include)
  foreach(library CUBLAS CUDNN)
    if(NOT MICA_${library}_INCLUDE)
      message(STATUS "Building without ${library}: its header was not found, so our own kernels do all (docs/cuda.md).")
    endif()
  endforeach()
endif()

# For what includes kernels/cuda/cublas.h or cudnn.h, which are empty where the library's header is missing.
function(mica_use_libraries target)
  foreach(library CUBLAS CUDNN)
    if(MICA_${library}_INCLUDE)
      target_compile_definitions(${target} PRIVATE MICA_${library})
      target_include_directories(${target} SYSTEM PRIVATE ${MICA_${library}_INCLUDE})
    endif()
  endforeach()
  if(MICA_CUDA_BACKEND STREQUAL "emulator")
    target_compile_definitions(${target} PRIVATE MICA_CUDA_EMULATED)
    target_include_directories(${target} SYSTEM PRIVATE ${MICA_CUDA_INCLUDE})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  endif()
endfunction()

# Adds the backend's sources to the library.
function(mica_add_cuda target)
  file(GLOB kernels CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
  target_sources(${target} PRIVATE ${kernels})
  target_compile_definitions(${target} PUBLIC MICA_CUDA)
  target_link_libraries(${target} PUBLIC ${CMAKE_DL_LIBS})
  mica_use_libraries(${target})
  if(MICA_CUDA_BACKEND STREQUAL "nvcc")
    # No contraction, as on the CPU: what must give the same bits on both spells its multiply-adds.
    set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS
      "--fmad=false;--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wextra")
    set_target_properties(${target} PROPERTIES CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/nvcc-resources)
    target_link_libraries(${target} PUBLIC CUDA::cudart_static)
  else()
    mica_add_emulator(${target} "${kernels}")
  endif()
endfunction()

# Sanitizers look at the backend and the emulator; everything else has a preset of its own for that (asan), and is compiled
# here as fast as can be.
set(MICA_EMULATED_OPTIONS -O1 -g1 -fstack-clash-protection)  # so that no large frame steps over a fibre's guard page
if(MICA_SANITIZE)
  list(APPEND MICA_EMULATED_OPTIONS -fsanitize=${MICA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-maybe-uninitialized)
endif()

# Kernels of the target are compiled by the C++ compiler, for the emulator.
function(mica_emulate target)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS
    "-xc++;-march=native;-Wno-unknown-pragmas;-Wno-pedantic;-Wno-shadow;${MICA_EMULATED_OPTIONS}")
  target_include_directories(${target} SYSTEM PRIVATE ${MICA_CUDA_INCLUDE})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
endfunction()

# The same kernels by g++, run on fibres by tests/emulator, which also stands in for the runtime.
function(mica_add_emulator target kernels)
  mica_emulate(${target} ${kernels})
  file(GLOB emulator CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests/emulator/*.cpp)
  if(NOT MICA_CUDNN_INCLUDE)
    list(FILTER emulator EXCLUDE REGEX "/cudnn_")
  endif()
  file(GLOB backend RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/core/cuda/*.cpp ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cpp)
  file(GLOB oracle RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cpp)
  target_sources(${target} PRIVATE ${emulator})
  set_source_files_properties(${backend} ${emulator} PROPERTIES COMPILE_OPTIONS "${MICA_EMULATED_OPTIONS}")
  set_source_files_properties(${oracle} PROPERTIES COMPILE_OPTIONS "-O2")
  if(MICA_SANITIZE MATCHES "thread")  # to which the emulator is the hardware: it sees kernels and host code only
    set_source_files_properties(${emulator} PROPERTIES COMPILE_OPTIONS "-O1;-g1" COMPILE_DEFINITIONS EMULATOR_HIDDEN_FROM_TSAN)
  endif()
endfunction()
