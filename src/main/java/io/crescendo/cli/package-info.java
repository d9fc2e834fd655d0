/**
 * The command line: reads options and files, calls the engine and prints.
 *
 * <p>Decides how a run is described and shown; never touches a tensor or names a backend's class. Backends are found on
 * the class path at run time.
 *
 * <pre>
 * ./crescendo --version
 * </pre>
 */
@NullMarked
package io.crescendo.cli;

import org.jspecify.annotations.NullMarked;
