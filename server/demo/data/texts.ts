/** Names, titles and sentences from small vocabularies: not prose, but with the lengths and repetitions of it. */
import { SeededRandom } from "./random.ts";

const split = (text: string): readonly string[] => text.trim().split(/\s+/);

const firstNames = split(`
  Ada Alan Amara Anders Aroha Bela Carmen Chidi Clara Dae Dalia Edith Emeka Farah Felix Grace Hana Hugo Ines Ivo Jamal Jana Kaito Kirsten
  Lars Leila Linus Mara Mateo Mei Milan Nadia Niels Noor Olga Omar Paola Petra Quinn Rafael Rosa Samir Sofia Tariq Tove Uma Viktor Wanda
  Xenia Yara Yusuf Zoe`);
const lastNames = split(`
  Abe Adeyemi Berg Bianchi Chen Costa Dahl Diaz Eriksen Fischer Garcia Haas Ibarra Ivanova Jensen Kaya Kim Kovacs Laine Lopez Martin Meyer
  Mori Nagy Novak Okafor Olsen Patel Petrov Quist Rossi Sato Schmidt Silva Singh Suzuki Tanaka Torres Ueda Vargas Virtanen Weber Wong Yilmaz`);
const cities = split(`
  Accra Bergen Bogota Busan Cork Dakar Delft Graz Hanoi Izmir Jaipur Kyoto Lagos Leipzig Lima Lyon Malmo Mumbai Nairobi Osaka Porto Quito
  Riga Seville Tampere Turin Utrecht Valencia Wellington Zagreb`);
const words = split(`
  the a of to and in that it is was for on with as at by from this have or an be not but what all were when we there can more if out other
  into about up one time people way day water light paper river city garden window road letter night winter morning house street music book
  table number story market bridge island forest engine signal harbor station mirror candle thread pocket corner weather mountain shadow
  summer kitchen journey picture machine question answer memory pattern silence distance evening village ocean valley basket lantern needle
  copper silver yellow green quiet narrow early heavy gentle open broken hidden bright simple small large old new next last first good long
  little own right different following same able slow warm cold deep wide clear sudden common public free strong whole certain empty ready
  make take come see know get give find think tell become leave feel put bring begin keep hold write stand hear let mean set meet run move
  live believe happen include continue learn change lead understand watch follow stop create speak read spend grow walk win teach offer
  remember consider appear buy serve send build stay fall cut reach raise pass sell decide return explain hope carry break receive agree
  support hit produce eat cover catch draw choose store page volume commit query table index cache branch tree leaf root frame segment tag
  local remote durable verified lazy resident prefetch snapshot checkpoint rollup transaction replica writer reader network request
  response latency byte record journal ledger archive library museum theatre concert festival recipe bread coffee orange apple pepper salt
  bicycle train ferry ticket map compass tower castle meadow orchard glacier canyon desert delta lagoon reef harvest seed soil rain storm
  thunder breeze frost sunrise sunset comet orbit planet galaxy telescope lens camera canvas brush marble violin piano drum chorus melody
  rhythm poem novel chapter verse letterpress ink margin footnote appendix glossary atlas almanac calendar clock pendulum spring lever
  pulley gear valve piston furnace anvil chisel hammer ladder scaffold brick mortar timber granite slate amber ivory linen wool velvet`);

/** Sentences are drawn from so many, made beforehand. */
const SENTENCES = 8192;

export class Texts {
  readonly #random: SeededRandom;
  readonly #sentences: readonly string[];

  constructor(random: SeededRandom) {
    this.#random = random;
    const makers = new SeededRandom(random.below(2 ** 31));
    this.#sentences = Array.from({ length: SENTENCES }, () => sentence(makers));
  }

  name(): string {
    return `${this.#random.pick(firstNames)} ${this.#random.pick(lastNames)}`;
  }

  city(): string {
    return this.#random.pick(cities);
  }

  /** Three to seven words. */
  title(): string {
    return phrase(this.#random, 3 + this.#random.below(5));
  }

  sentences(count: number): string {
    let text = this.#random.pick(this.#sentences);
    for (let i = 1; i < count; i++) text += ` ${this.#random.pick(this.#sentences)}`;
    return text;
  }
}

function sentence(random: SeededRandom): string {
  return `${phrase(random, 6 + random.below(12))}.`;
}

function phrase(random: SeededRandom, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += `${i === 0 ? "" : " "}${words[random.skewed(words.length, 1.6)]}`;
  return text[0]!.toUpperCase() + text.slice(1);
}
