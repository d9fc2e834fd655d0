/**
 * The rules that hold between packages, as tests.
 *
 * <p>Decides which package may know which, and what no class may do whatever its package. Says nothing about what code
 * computes. The rules travel to the other modules in this module's test jar:
 *
 * <pre>{@code
 * @Test
 * void staticsAreConstants() {
 *     ArchitectureRules.staticsAreConstants().check(ArchitectureRules.classesOfThisModule());
 * }
 * }</pre>
 *
 * <p>Each rule is also run against {@code offender}, classes that break it, so that a rule which matches nothing is
 * noticed.
 */
@NullMarked
package io.crescendo.architecture;

import org.jspecify.annotations.NullMarked;
