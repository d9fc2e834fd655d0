/**
 * One class per command: its options, its help and the order of its steps.
 *
 * <p>Decides: what a command is called and what it prints. Never does the work itself: configurations are read by
 * {@code config}, training is run and recorded by {@code run}, figures are drawn by {@code figures}.
 *
 * <pre>{@code
 * int status = Main.commandLine().execute("plan", "--preset", "cifar10-figure1", "--json");
 * }</pre>
 */
@NullMarked
package io.crescendo.cli.commands;

import org.jspecify.annotations.NullMarked;
