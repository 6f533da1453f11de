# Installs the build into a fresh prefix, then configures, builds and runs the program beside this file against
# that copy only. Arguments: build, source, compiler, launcher, sanitize.
set(prefix "${build}/install_test/prefix")
set(work "${build}/install_test/build")
file(REMOVE_RECURSE "${build}/install_test")

function(step)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

if(sanitize)
  set(flags "-DCMAKE_CXX_FLAGS=-fsanitize=${sanitize}")
endif()
step("${CMAKE_COMMAND}" --install "${build}" --prefix "${prefix}")
step("${CMAKE_COMMAND}" -S "${source}" -B "${work}" -G Ninja "-DCMAKE_PREFIX_PATH=${prefix}"
  "-DCMAKE_CXX_COMPILER=${compiler}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}" ${flags})
step("${CMAKE_COMMAND}" --build "${work}")
step("${work}/consumer")
step("${CMAKE_COMMAND}" -E compare_files "${work}/lamp.md" "${source}/lamp.md")
