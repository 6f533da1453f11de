# bench/*.cpp is one Google Benchmark program, `otp_bench`; bench/<workload>/<runtime>.cpp are programs of their
# own, `bench_<workload>_<runtime>`, which do the same work on another runtime. Built on demand only.
add_custom_target(bench_programs)

function(otp_add_bench name)
  add_executable(${name} EXCLUDE_FROM_ALL ${ARGN})
  target_link_libraries(${name} PRIVATE otp_flags otp::otp benchmark::benchmark)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
  add_dependencies(bench_programs ${name})
endfunction()

file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*.cpp")
if(sources)
  otp_add_bench(otp_bench ${sources})
endif()
file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*/*.cpp")
foreach(source IN LISTS sources)
  cmake_path(GET source STEM runtime)
  cmake_path(GET source PARENT_PATH folder)
  cmake_path(GET folder FILENAME workload)
  otp_add_bench(bench_${workload}_${runtime} ${source})
endforeach()
